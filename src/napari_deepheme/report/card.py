"""A model card, which is Markdown of a stranger, as HTML and as blocks of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from markupsafe import Markup

# no HTML of its own, nothing that leads or loads from elsewhere: the report is one file
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "image", "autolink"])
_LOWER_BY, _LOWEST = 2, 6


class Block(NamedTuple):
    """A part of a card as rows of plain texts; all but a table have one row of one text."""

    kind: Literal["heading", "text", "item", "table"]
    rows: tuple[tuple[str, ...], ...]


def card_html(card: str) -> Markup:
    """A card as HTML, its headings below those of a report; raw HTML, links and pictures stay text."""
    tokens = _MARKDOWN.parse(card)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _LOWER_BY, _LOWEST)}"
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


def card_blocks(card: str) -> Iterator[Block]:
    """The parts of a card in order, without marks, for a page that is not HTML."""
    return _blocks(SyntaxTreeNode(_MARKDOWN.parse(card)), "text")


def _blocks(node: SyntaxTreeNode, kind: Literal["text", "item"]) -> Iterator[Block]:
    for child in node.children:
        match child.type:
            case "table":
                lines = (line for part in child.children for line in part.children)
                yield Block("table", tuple(tuple(map(_plain, line.children)) for line in lines))
            case "heading" | "paragraph" | "fence" | "code_block":
                yield Block("heading" if child.type == "heading" else kind, ((_plain(child),),))
            case _:
                yield from _blocks(child, "item" if child.type == "list_item" else kind)


def _plain(node: SyntaxTreeNode) -> str:
    """The words of a block; a line that ends goes on after a space."""
    return "".join(
        " " if part.type in ("softbreak", "hardbreak") else part.content
        for part in node.walk()
        if not part.children
    )
