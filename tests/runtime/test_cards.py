"""What the card of a checkpoint says of its growth masks, wherever the checkpoint is written."""

from __future__ import annotations

from pathlib import Path

from growplan.runtime.export import export
from tests.runtime.grown import Grown

LINE = "mask-in ffn x2 over 10 steps"


def test_a_checkpoint_that_is_written_over_the_grown_one_says_so(tmp_path: Path) -> None:
    model, attached = Grown.by(LINE, "gpt2", tmp_path).attached()
    card = tmp_path / "g" / "README.md"
    assert "As a whole the plan is **exact**" in card.read_text()
    edited = card.read_text() + "words of the user's\n"
    card.write_text(edited)
    for step in (4, 5):
        attached.at(step)
        model.save_pretrained(tmp_path / "g")
        attached.save(tmp_path / "g")
    assert (tmp_path / "g" / "README.growth.md").read_text() == edited
    assert "**`from_pretrained` alone gives another model**" in card.read_text()
    assert "**exact**" not in card.read_text()


def test_the_card_of_apply_stays_where_no_mask_is_below_1(tmp_path: Path) -> None:
    model, attached = Grown.by(LINE, "gpt2", tmp_path).attached()
    before = (tmp_path / "g" / "README.md").read_bytes()
    attached.at(attached.end)
    model.save_pretrained(tmp_path / "g")
    attached.save(tmp_path / "g")
    assert (tmp_path / "g" / "README.md").read_bytes() == before


def test_an_export_does_not_say_that_it_is_in_the_middle(tmp_path: Path) -> None:
    model, attached = Grown.by(LINE, "gpt2", tmp_path).attached()
    attached.at(4)
    half = tmp_path / "half"
    model.save_pretrained(half)
    attached.save(half)
    (half / "LICENSE").write_text("a licence")
    export(half, tmp_path / "plain")
    assert (tmp_path / "plain" / "LICENSE").exists() and not list((tmp_path / "plain").glob("README*"))
    (half / "README.md").write_text("the user's own")
    assert (export(half, tmp_path / "other").path / "README.source.md").read_text() == "the user's own"
