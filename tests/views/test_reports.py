"""What people read: `check`, `show`, `explain`, the lists; one golden text each."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.made import run
from tests.conftest import Golden

PLANS = {
    "bert": "widen hidden x2 via fpi",
    "bert-approximate": "widen hidden 48→64 via bert2bert; widen heads to 8 via bert2bert",
    "gpt2": "widen hidden 48→64 via fpi; stack depth x2; mask-in heads",
    "llama": "widen hidden 48→72 via fpi; deepen depth 3→4 via identity",
    "gpt2-vocab": "widen vocab 31→40 via fpi",
}


@pytest.mark.parametrize("name", PLANS)
def test_check(name: str, here: Path, golden: Golden) -> None:
    result = run("check", "-e", PLANS[name], "--model", name.split("-")[0])
    golden(result.stdout + result.stderr)


@pytest.mark.parametrize("form", ["table", "dot", "mermaid", "html"])
def test_show(form: str, here: Path, golden: Golden) -> None:
    golden(run("show", "a.grow.yaml", "--as", form).stdout)


def test_show_html_is_well_formed(here: Path) -> None:
    open_tags: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Path("<b>.grow").write_text("source ./gpt2; widen ffn x2")
    page = run("show", "<b>.grow", "--as", "html").stdout
    Check().feed(page)
    assert open_tags == []
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_explain_and_lists(golden: Golden) -> None:
    golden(run("explain", "GP603").stdout, "explain")
    golden(run("methods").stdout, "methods")
    golden(run("methods", "fpi").stdout, "fpi")
    golden(run("families").stdout, "families")
    golden(run("families", "gpt2").stdout, "gpt2")


def test_a_claim_below_the_proof_names_both(here: Path) -> None:
    text = run("check", "-e", "widen ffn x2 via fpi, expect none", "--model", "gpt2").stdout
    assert "claim  none; proved exact" in text
