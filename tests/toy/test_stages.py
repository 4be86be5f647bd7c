"""Toys of a plan with stages: the growth of each, from a source of the sizes that it begins with."""

from __future__ import annotations

from pathlib import Path

from growplan.checkpoint.verify import verify
from growplan.language import parse_file
from growplan.toy import run_toys
from growplan.views.style import PLAIN
from growplan.views.toy import StagedToyReport

MSG = Path(__file__).parents[2] / "plans" / "msg-bert-base.grow.yaml"


def test_each_stage_that_grows_is_run_and_kept(tmp_path: Path) -> None:
    found = run_toys(parse_file(str(MSG)), tmp_path / "toys")
    folders = ["02-ffn", "03-six-layers", "04-width", "05-twelve-layers"]
    assert sorted(path.name for path in (tmp_path / "toys").iterdir()) == folders
    for folder, toy in zip(folders, found.toys.values(), strict=True):
        assert toy.directory == tmp_path / "toys" / folder
        assert str(toy.toy.claim) == str(toy.full.claim)
        assert not verify(toy.applied.target)
    width = found.toys["width"]
    assert (width.full.source.depth, width.toy.source.depth) == (6, 2)


def test_the_report_says_what_was_run_and_what_was_not(tmp_path: Path) -> None:
    found = run_toys(parse_file(str(MSG)))
    report = StagedToyReport(found, "msg.grow.yaml")
    text = report.human(PLAIN)
    assert "stage 1, small: no growth" in text and "nothing was trained" in text
    assert text.count("mask-in ffn 768→3072") == 1
    assert ["hidden", "512", "→", "768", "8", "→", "12"] in [line.split() for line in text.splitlines()]
    data = report.data()
    assert list(data["stages"]) == ["ffn", "six-layers", "width", "twelve-layers"]
    assert data["stages"]["ffn"]["full"]["after"]["ffn"] == 3072
