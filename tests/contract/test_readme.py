"""What README shows works as shown."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(smear_path, monkeypatch, capsys):
    monkeypatch.setattr("napari_deepheme.sample_data.SAMPLE_SLIDE", smear_path)  # a tenth of its cells
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert "label" in capsys.readouterr().out


def test_every_link_to_a_file_leads_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_research_use_warning_is_in_front():
    assert "Research use only. Not for diagnosis." in README[:1500]
