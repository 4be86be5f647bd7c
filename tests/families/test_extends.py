"""`extends: NAME`: what is inherited, replaced and dropped, and where mistakes are placed."""

from __future__ import annotations

import pytest

from growplan.diagnostics import DiagnosticError, Source
from growplan.families import Family, load_family, parse_family

CHILD = """\
family: mine
extends: llama
config: {model_type: mine}
sizes: {ffn: inner_size ?? 4*hidden}
modules:
  norm: layernorm hidden, eps rms_norm_eps
  extra: bias hidden
keeps: drop
carried: [colour]
heads:
  score: drop
  tag: drop
  hidden: hidden = extra(norm(x))
classes: {MineModel: {prefix: "", head: hidden}, MineForCausalLM: {prefix: m., head: lm}}
"""


def _parse(text: str) -> Family:
    return parse_family(Source("mine.yaml", text))


def _mistakes(text: str) -> list[tuple[str, str, str]]:
    """(code, file, the text at the place)."""
    with pytest.raises(DiagnosticError) as caught:
        _parse(text)
    out = []
    for d in caught.value.diagnostics:
        assert d.span is not None
        source = d.span.source
        out.append((d.code, source.name.rsplit("/", 1)[-1], source.text[d.span.start : d.span.end].strip()))
    return out


def _child() -> str:
    return CHILD.replace("  extra: bias hidden\n", "  extra: bias hidden\n  score: drop\n  tagger: drop\n")


def test_mappings_merge_and_the_rest_is_replaced() -> None:
    family, parent = _parse(_child()), load_family("llama")
    assert family.name == "mine"
    assert family.requires["model_type"] == ("mine",)
    assert family.requires["hidden_act"] == parent.requires["hidden_act"]
    assert family.carried == ("colour",)
    assert family.keeps == ()
    assert (family.embed, family.block, family.closes) == (parent.embed, parent.block, parent.closes)
    assert [c.architecture for c in family.classes] == ["MineModel", "MineForCausalLM"]
    assert set(family.heads) == {"lm", "lm, untied", "hidden", "answer"}


def test_order_is_the_parents_and_new_keys_come_last() -> None:
    family, parent = _parse(_child()), load_family("llama")
    names = [m.name for m in parent.modules if m.name not in ("score", "tagger")]
    assert [m.name for m in family.modules] == [*names, "extra"]
    assert [rule.axis for rule in family.sizes] == [rule.axis for rule in parent.sizes]
    assert next(rule.key for rule in family.sizes if rule.axis == "ffn") == "inner_size"
    assert next(m.kind for m in family.modules if m.name == "norm") == "layernorm"


def test_a_child_of_a_child() -> None:
    text = (
        "family: mine\nextends: mistral\nconfig: {model_type: mine}\nclasses: {A: {prefix: '', head: lm}}\n"
    )
    family, parent = _parse(text), load_family("mistral")
    assert family.window == parent.window is not None
    assert family.modules == parent.modules == load_family("llama").modules


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("extends: llama", "extends: lama", ("GP340", "mine.yaml", "lama")),
        ("extends: llama", "extends: ./llama.yaml", ("GP340", "mine.yaml", "./llama.yaml")),
        ("extends: llama", "extends: [llama]", ("GP342", "mine.yaml", "[llama]")),
        ("family: mine\n", "", ("GP342", "mine.yaml", "")),
        ("  score: drop\n  tagger", "  scoer: drop\n  tagger", ("GP344", "mine.yaml", "scoer")),
        ("keeps: drop", "equations: drop", ("GP344", "mine.yaml", "equations")),
        ("  score: drop\n  tagger", "  tagger", ("GP344", "llama.yaml", "score")),
        (
            "  norm: layernorm",
            "  norm: layernrm",
            ("GP343", "mine.yaml", "layernrm hidden, eps rms_norm_eps"),
        ),
        (
            "  extra: bias hidden",
            "  extra: bias hidden\n  layers.self_attn.o_proj: drop",
            ("GP344", "llama.yaml", "layers.self_attn.o_proj"),
        ),
    ],
)
def test_mistakes_stay_in_their_file(old: str, new: str, expected: tuple[str, str, str]) -> None:
    assert _child().count(old) == 1
    assert expected in _mistakes(_child().replace(old, new))


@pytest.mark.parametrize("word", ["lama", "./mine.yaml", "[llama]"])
def test_what_is_not_inherited_is_not_said_to_be_missing(word: str) -> None:
    """One mistake, not one for every section that the parent would have had."""
    assert len(_mistakes(_child().replace("extends: llama", f"extends: {word}"))) == 1


WINDOW = "window: {size: sliding_window ?? 4096}"


@pytest.mark.parametrize(
    ("window", "code", "place"),
    [
        ("window: {kinds: layer_types}", "GP342", "window"),
        ("window: {size: window, until: top}", "GP342", "until"),
        ("window: {size: 4096}", "GP343", "4096"),
        ("window: {size: window ?? none}", "GP343", "window ?? none"),
        ("window: window", "GP342", "window"),
    ],
)
def test_windows_that_cannot_be_read(window: str, code: str, place: str) -> None:
    assert (code, "mine.yaml", place) in _mistakes(f"{_child()}{window}\n")


def test_a_window_needs_causal_attention() -> None:
    block = """
block: |
  y = layers.input_layernorm(x)
  q, k, v = layers.self_attn.q_proj(y), layers.self_attn.k_proj(y), layers.self_attn.v_proj(y)
  x = x + layers.self_attn.o_proj(attention(rope(q), rope(k), v, causal=False))
  y = layers.post_attention_layernorm(x)
  x = x + layers.mlp.down_proj(act(layers.mlp.gate_proj(y)) * layers.mlp.up_proj(y))
"""
    assert _parse(_child() + block)
    assert ("GP342", "mine.yaml", "window") in _mistakes(f"{_child()}{block}{WINDOW}\n")
