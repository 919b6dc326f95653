"""The command line, ``napari-deepheme``.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 2 the input is wrong, 1 our fault,
130 cancelled.
"""

from __future__ import annotations

import sys

import typer

from napari_deepheme.cli.adaptation import adapt
from napari_deepheme.cli.agreement import agree
from napari_deepheme.cli.analyses import differential, export
from napari_deepheme.cli.demonstration import demo, synth
from napari_deepheme.cli.evaluation import evaluate
from napari_deepheme.cli.models import models
from napari_deepheme.cli.printing import RESEARCH_USE, print_error, use_plain_streams
from napari_deepheme.cli.slides import classify, info
from napari_deepheme.cli.training import train, train_detector
from napari_deepheme.errors import DeepHemeError, OptionError

app = typer.Typer(
    help=f"Differential counts of blood and marrow smears by a snapshot ensemble. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    info,
    classify,
    differential,
    export,
    synth,
    train,
    train_detector,
    adapt,
    evaluate,
    agree,
):
    app.command()(command)
app.add_typer(models, name="models")


def main() -> None:
    """Run the command line; what is wrong with the input or a file is one line on stderr, and exit code 2."""
    use_plain_streams()
    try:
        app()
    except DeepHemeError as err:
        print_error(err)
        sys.exit(2)
    except OSError as err:
        if err.filename is None:  # no file that somebody named
            raise
        print_error(OptionError(f"{err.filename}: {err.strerror}; check that it is there and may be used."))
        sys.exit(2)
