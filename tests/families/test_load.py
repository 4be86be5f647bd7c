"""Family files: what they say, and the place of every mistake in them."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError, Source
from growplan.diagnostics.codes import codes
from growplan.families import Family, bind, builtin_families, detect, load_family, parse_family
from tests.families.configs import LLAMA, config

TEXTS = {name: path.read_text() for name, path in builtin_families().items()}


def _parse(text: str) -> Family:
    return parse_family(Source("mine.yaml", text))


def _mistakes(text: str) -> list[tuple[str, str]]:
    """(code, the text at the place)."""
    with pytest.raises(DiagnosticError) as caught:
        _parse(text)
    out = []
    for d in caught.value.diagnostics:
        assert d.code in codes()
        assert d.span is not None
        out.append((d.code, text[d.span.start : d.span.end].strip()))
    return out


def test_families_ship() -> None:
    """Each under the name of its file, with a model_type no other has."""
    types: list[str] = []
    for name in builtin_families():
        family = load_family(name)
        assert family.name == name
        types += family.requires["model_type"]
    assert len(types) == len(set(types))
    assert {"bert", "deit", "gpt2", "llama", "mistral", "mixtral", "vit"} <= set(types)


def test_mixtral() -> None:
    family = load_family("mixtral")
    modules = {m.name: m for m in family.modules}
    w1 = modules["layers.experts.w1"]
    assert (w1.in_layer, w1.in_expert) == (True, True)
    (param,) = w1.params
    assert param.of_expert(3).name == "layers.{i}.block_sparse_moe.experts.3.w1.weight"
    assert not modules["layers.block_sparse_moe.gate"].in_expert


def test_gpt2() -> None:
    family = load_family("gpt2")
    modules = {m.name: m for m in family.modules}
    fused = modules["h.attn.c_attn"]
    assert str(fused.outs) == "heads*head_dim + heads*head_dim + heads*head_dim"
    assert (fused.stored, fused.disk, fused.in_layer, fused.bias) == (
        "in-out",
        "h.{i}.attn.c_attn",
        True,
        True,
    )
    assert [p.name for p in fused.params] == ["h.{i}.attn.c_attn.weight", "h.{i}.attn.c_attn.bias"]
    assert family.equations == (("hidden", "heads*head_dim"),)
    assert family.closes == (("heads", "hidden / head_dim"),)
    assert family.aliases["n_embd"] == family.aliases["hidden_size"] == "hidden"
    assert family.layers == "h.{i}."


def test_llama() -> None:
    family = load_family("llama")
    assert family.equations == ()
    assert family.keeps == (("hidden", "heads*head_dim"),)
    assert ("heads", "kv_heads") in family.constraints
    rules = {rule.axis: rule for rule in family.sizes}
    assert (rules["kv_heads"].key, rules["kv_heads"].default) == ("num_key_value_heads", "heads")
    assert rules["labels"].length
    assert rules["labels"].also == ("num_labels",)


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(TEXTS["gpt2"].replace("family: gpt2", "family: mine"))
    assert load_family(path).name == "mine"
    assert load_family(str(path)).path == str(path)


@pytest.mark.parametrize("name", ["gpt3", "no/such/file.yaml", "missing.yaml"])
def test_no_such_family(name: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        load_family(name)
    assert caught.value.diagnostics[0].code == "GP340"


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"family: \xff")
    with pytest.raises(DiagnosticError) as caught:
        load_family(path)
    assert caught.value.diagnostics[0].code == "GP340"


BLOCK = "  x = x + h.attn.c_proj(attention(q, k, v, causal=True))"
EDITS = [
    ("family: gpt2", "family: [gpt2", "GP341", None),
    ("family: gpt2", "- gpt2", "GP341", None),
    ("family: gpt2", "famly: gpt2", "GP342", "famly"),
    ("  hidden: n_embd\n", "  hidden: n_embd\n  hidden: n_embd\n", "GP342", "hidden"),
    ("  hidden: n_embd\n", "", "GP342", "sizes"),
    ("  hidden: n_embd\n", "  hidden: [n_embd]\n", "GP342", "[n_embd]"),
    ("  hidden: n_embd\n", "  hidden: !!python/name:os.system x\n", "GP342", "!!python/name:os.system x"),
    ("head: hidden}", "heads: hidden}", "GP342", "GPT2Model"),
    ("= hidden // heads", "= hidden.bit_length()", "GP343", "= hidden.bit_length()"),
    ("= hidden // heads", "= __import__('os')", "GP343", "= __import__('os')"),
    ("n_inner ?? 4*hidden", "n_inner ?? 4*hiden", "GP344", "n_inner ?? 4*hiden"),
    ("n_inner ?? 4*hidden", "n inner", "GP343", "n inner"),
    (
        "h.ln_1: layernorm hidden,",
        "h.ln_1: layernrm hidden,",
        "GP343",
        "layernrm hidden, eps layer_norm_epsilon",
    ),
    (
        "h.ln_1: layernorm hidden, eps layer_norm_epsilon",
        "h.ln_1: layernorm hidden",
        "GP343",
        "layernorm hidden",
    ),
    ("lm_head: linear hidden -> vocab", "lm_head: linear vocab", "GP343", "linear vocab"),
    (
        "lm_head: linear hidden -> vocab",
        "lm_head: linear hidden -> vocab, bais",
        "GP343",
        "linear hidden -> vocab, bais",
    ),
    (
        "lm_head: linear hidden -> vocab",
        "lm_head: linear hidden -> vocabb",
        "GP344",
        "linear hidden -> vocabb",
    ),
    (
        "lm_head: linear hidden -> vocab",
        "lm_head: linear hidden -> vocab - 1",
        "GP343",
        "linear hidden -> vocab - 1",
    ),
    (
        "lm_head: linear hidden -> vocab\n",
        "lm_head: linear hidden -> vocab\n  more: linear hidden -> vocab\n",
        "GP344",
        "more",
    ),
    ('{h: "h.{i}"}', '{h: "h.0"}', "GP343", '"h.0"'),
    ("[gelu_new, ", "[geluu, ", "GP344", "geluu"),
    ("model_type: gpt2", "model_type: []", "GP342", "model_type"),
    ('{h: "h.{i}"}', "{}", "GP342", "layers"),
    ("score: logits = score(last(ln_f(x)))", "score: _ = score(last(ln_f(x)))", "GP342", "score"),
    ("act: activation_function", "act: activation", "GP342", "act"),
    (
        BLOCK,
        BLOCK.replace("(q, k, v,", "(x, x, x,"),
        "GP345",
        BLOCK.replace("(q, k, v,", "(x, x, x,").strip(),
    ),
    ("score: logits = score(last(ln_f(x)))", "score: logits = score(last(ln_f(x))", "GP343", None),
    ("logits = score(last(ln_f(x)))", "logits = score(lst(ln_f(x)))", "GP344", "lst"),
    ("logits = score(last(ln_f(x)))", "score(last(ln_f(x)))", "GP343", "score(last(ln_f(x)))"),
    ("logits = score(last(ln_f(x)))", "logits = score(last(ln_f(x, x)))", "GP343", "ln_f(x, x)"),
    (
        "logits = score(last(ln_f(x)))",
        "logits = score(last(ln_f(z)))",
        "GP344",
        "logits = score(last(ln_f(z)))",
    ),
    ("logits = tied(wte, ln_f(x))", "logits = tied(ln_f, ln_f(x))", "GP344", "ln_f"),
    ("head: score}", "head: scores}", "GP344", "scores"),
    (BLOCK, "  x = x + h.attn.c_proj(attention(q, k, v))", "GP343", "attention(q, k, v)"),
    (BLOCK, "  x = x + h.attn.c_proj(attention(q, k, v, causal=maybe))", "GP343", "causal=maybe"),
    (BLOCK, "  x = x + h.attn.c_proj(attention(q, k, causal=True))", "GP343", "attention(q, k, causal=True)"),
    (BLOCK, "  x = h.attn.c_proj(attention(q, k, v, causal=True)) - x", "GP343", None),
    (BLOCK, "  x = x + h.attn.c_proj(x)", "GP345", "x = x + h.attn.c_proj(x)"),
    (BLOCK, "  x = x + attention(q, k, v, causal=True)", "GP344", "h.attn.c_proj"),
    (BLOCK, BLOCK + "\n  x = [x for y in x]", "GP343", "[x for y in x]"),
    (BLOCK, BLOCK + "\n  import os", "GP343", "import os"),
    ("  q, k, v = h.attn", "  q, k = h.attn", "GP345", "q, k = h.attn.c_attn(h.ln_1(x))"),
    ("  q, k, v = h.attn.c_attn(h.ln_1(x))", "  q, k, v = h.ln_1(x) + x", "GP343", "h.ln_1(x) + x"),
    ("[hidden == heads*head_dim]", "[hidden = heads]", "GP343", "hidden = heads"),
    ("constraints: [hidden % heads]", "constraints: [hidden % headz]", "GP344", "hidden % headz"),
    ("closes: {heads:", "closes: {hedas:", "GP344", "hedas"),
    ("aliases: {n_ctx: positions}", "aliases: {n_ctx: position}", "GP344", "position"),
    ("(bias|masked_bias)", "(bias|masked_bias", "GP343", None),
    ("model_type: gpt2", "model_typ: gpt2", "GP342", "config"),
]


@pytest.mark.parametrize(("old", "new", "code", "place"), EDITS, ids=range(len(EDITS)))
def test_mistakes(old: str, new: str, code: str, place: str | None) -> None:
    assert TEXTS["gpt2"].count(old) >= 1
    found = _mistakes(TEXTS["gpt2"].replace(old, new, 1))
    assert code in [c for c, _ in found], found
    if place is not None:
        assert (code, place) in found


def test_several_mistakes_in_one_run() -> None:
    text = TEXTS["gpt2"].replace("layernorm hidden, eps", "layernorm hiden, eps")
    assert len(_mistakes(text)) == 3


def test_aliases() -> None:
    text = TEXTS["gpt2"].replace("aliases: {n_ctx: positions}", "aliases: &a {n_ctx: positions}")
    assert _parse(text.replace("copies: {lm_head.weight: wte.weight}", "copies: *a")).copies == {
        "n_ctx": "positions"
    }
    looped = TEXTS["gpt2"].replace("outside: [lm_head, score, classifier, qa_outputs]", "outside: &a [*a]")
    assert _mistakes(looped)[0][0] in ("GP341", "GP342")


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
def test_deep_nesting(opener: str) -> None:
    """libyaml's composer recurses in C: without a limit this ends the process."""
    assert _mistakes("family:\n " + opener * 200_000)[0][0] == "GP341"


@pytest.mark.parametrize("value", ["x" + " + x" * 1500, "ln_f(" * 150 + "x" + ")" * 150, "((((" * 300 + "x"])
def test_deep_expressions(value: str) -> None:
    text = TEXTS["gpt2"].replace("logits = score(last(ln_f(x)))", f"logits = {value}")
    assert _mistakes(text)[0][0] == "GP343"


@pytest.mark.parametrize("name", list(TEXTS))
def test_mangled_files_give_diagnostics_only(name: str) -> None:
    """Lines dropped, doubled and cut, characters replaced: nothing but `DiagnosticError` escapes."""
    draw = random.Random(name)
    alphabet = "abxh.,:-+*/()[]{}'\"|?=>&!#% \n\t\0é01"
    for _ in range(150):
        text = TEXTS[name]
        for _ in range(draw.randint(1, 3)):
            lines = text.split("\n")
            at = draw.randrange(len(lines))
            match draw.randrange(4):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, lines[at])
                case 2:
                    lines[at] = lines[at][: draw.randint(0, len(lines[at]))]
                case _:
                    cut = draw.randint(0, len(lines[at]))
                    lines[at] = lines[at][:cut] + draw.choice(alphabet) + lines[at][cut + 1 :]
            text = "\n".join(lines)
        try:
            _parse(text)
        except DiagnosticError as error:
            assert all(d.code in codes() for d in error.diagnostics)


def test_no_heavy_imports() -> None:
    load = "[f.load_family(n) for n in f.builtin_families()]"
    script = f"import sys, growplan.families as f; {load}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "numpy", "networkx", "pydantic"} & set(done.stdout.split())


def test_loading_and_binding_a_deep_llama_is_fast() -> None:
    """80 layers from a config alone; 15 ms measured at rest, five times that allowed here."""
    described = config({**LLAMA, "num_hidden_layers": 80})
    bind(detect(described), described)
    best = min(_seconds(lambda: bind(parse_family(Source("l", TEXTS["llama"])), described)) for _ in range(5))
    assert best < 0.075


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
