"""The lists of methods and families: complete, true, and no wider than the terminal."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from growplan.check.typed import TypedPlan
from growplan.families.load import builtin_families, load_family
from growplan.methods import get_method, method_doc, method_names
from growplan.methods.base import Ask, Claim, Method
from growplan.views.families import FamiliesReport, growing
from growplan.views.listing import MethodReport, MethodsReport, claims
from growplan.views.style import Style
from tests.check.models import check
from tests.cli.made import document, run

METHODS = [method for name in method_names() if (method := get_method(name)) is not None]


@pytest.mark.parametrize("columns", [80, 100])
def test_the_list_of_methods_fits(columns: int) -> None:
    text = MethodsReport(METHODS).human(Style(columns=columns))
    longest = max(text.splitlines(), key=len)
    assert len(longest) <= columns, longest
    for method in METHODS:
        assert f"  {method.name} " in text


@pytest.mark.parametrize("name", method_names())
def test_a_method_says_what_it_does_and_where_it_is_from(name: str) -> None:
    method = get_method(name)
    assert method is not None
    assert method.title and method.paper
    doc = method_doc(name)
    assert ("rewrite:" in doc and "->" in doc) or "<-" in doc
    assert "growplan." not in doc, "what a reader needs is here, not in a module"
    shown = MethodReport(method, doc).human(Style())
    for option in method.options:
        assert option.doc
        assert f"default {option.default}" in " ".join(shown.split())


def test_lemon_says_what_becomes_of_layers() -> None:
    assert "h.0 h.1 h.2 h.2' h.3 h.3'" in method_doc("lemon")


def test_what_methods_share_is_no_method() -> None:
    assert not {"support", "base", "discovery", "heads", "layers"} & set(method_names())
    assert all(get_method(name) is not None for name in method_names())


class _Told(Method):
    """Claims as it was told to."""

    table: Mapping[tuple[str, bool], str] = {}

    def claim(self, ask: Ask) -> Claim:
        return Claim(self.table.get((ask.axes[0], ask.post_norm), "exact"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        ({}, "exact"),
        ({("hidden", False): "approximate", ("hidden", True): "approximate"}, "exact; approximate: hidden"),
        ({("hidden", True): "none"}, "exact; none under post-norm: hidden"),
        (
            {("hidden", True): "approximate", ("ffn", True): "approximate", ("heads", True): "approximate"},
            "exact; approximate under post-norm",
        ),
    ],
)
def test_claims_in_words(table: Mapping[tuple[str, bool], str], shown: str) -> None:
    method = _Told("told", axes=("hidden", "ffn", "heads"))
    object.__setattr__(method, "table", table)
    assert "".join(claims(method)) == shown


def test_the_claims_that_are_listed_are_those_of_a_plan() -> None:
    assert "".join(claims(_method("bert2bert"))) == "exact; approximate: hidden; none: depth"
    assert "".join(claims(_method("fpi"))) == "exact"
    typed: TypedPlan = check("gpt2", "widen hidden 768→1024 via bert2bert")
    assert typed.steps[0].promised == Claim("approximate")


def _method(name: str) -> Method:
    method = get_method(name)
    assert method is not None
    return method


def test_families() -> None:
    families = [load_family(name) for name in builtin_families()]
    lines = FamiliesReport(families).human(Style()).splitlines()
    assert len(lines) == len(families) + 3
    assert max(map(len, lines)) <= 100
    assert growing(load_family("llama"))[:4] == ["hidden", "heads", "kv_heads", "head_dim"]
    assert document("families", "llama")["grows"][0] == "hidden"


def test_a_name_that_is_none_is_a_finding() -> None:
    result = run("methods", "fpii")
    assert result.exit_code == 1
    assert "did you mean `fpi`?" in result.stderr
