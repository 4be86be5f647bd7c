"""`head untie`: a head that reads the embedding gets a matrix of its own, and nothing else changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from growplan.check.checker import check_plan
from growplan.diagnostics import DiagnosticError
from growplan.families.model import Assign, Call, Model, Name
from growplan.families.untie import same_head, untied
from growplan.ir.lower import lower
from growplan.ir.primitives import CopyTensor
from growplan.ir.verify import verify
from growplan.language import parse_text
from growplan.views.names import step_title
from tests.check.models import check, model
from tests.ir.test_lowered import SMALL
from tests.matrix.run import by_transformers, grow, ids_for, worst
from tests.tiny import tiny_checkpoint

ALONE = "widen hidden 48→48 via hypercloning, head untie"  # the implied step, and one that changes nothing
DOUBLED = "widen hidden 48→96 via hypercloning, head untie"
TIED: dict[str, dict[str, Any]] = {**SMALL, "smollm": {**SMALL["smollm"], "tie_word_embeddings": True}}
HEADS = {
    "gpt2": {"lm_head.weight": "transformer.wte.weight"},
    "llama": {"lm_head.weight": "model.embed_tokens.weight"},
    "qwen3": {"lm_head.weight": "model.embed_tokens.weight"},
    "bert": {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    "roberta": {
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
}
CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
}


def source(family: str, path: Path) -> Path:
    return tiny_checkpoint(
        family, path, architecture=CLASSES[family], dtype="float64", tie_word_embeddings=True
    )


@pytest.mark.parametrize("family", HEADS)
def test_the_head_is_a_copy_of_what_it_read(family: str, tmp_path: Path) -> None:
    """Bit by bit, from the files; every other tensor is as it was, and stock logits are equal."""
    grown = grow(source(family, tmp_path / "source"), ALONE, tmp_path / "target")
    old, new = (load_file(d / "model.safetensors") for d in (grown.source, grown.target))
    assert set(new) == set(old) | set(HEADS[family])
    for name, value in new.items():
        assert value.tobytes() == old[HEADS[family].get(name, name)].tobytes(), name
    config = json.loads((grown.target / "config.json").read_text(encoding="utf-8"))
    assert config["tie_word_embeddings"] is False
    ids = ids_for(31, 20)
    before, after = (by_transformers(d, CLASSES[family], ids) for d in (grown.source, grown.target))
    assert worst(before, after) == 0


@pytest.mark.parametrize("family", HEADS)
def test_the_head_is_divided_in_place_of_the_last_norm(family: str, tmp_path: Path) -> None:
    """lm_head* = [W W] / 2; a tied head leaves the 1/2 to the norm below it."""
    grown = grow(source(family, tmp_path / "source"), DOUBLED, tmp_path / "target")
    new = load_file(grown.target / "model.safetensors")
    head, embedding = next((new[a], new[b]) for a, b in HEADS[family].items())
    np.testing.assert_array_equal(head, embedding / 2)
    assert step_title(grown.typed.steps[0]) == "implied: untie head (hypercloning, head untie)"
    assert not grown.typed.target.tied


def test_a_head_that_is_stored_twice_is_written_once(tmp_path: Path) -> None:
    """The copy on disk gives way to the untied head."""
    path = source("gpt2", tmp_path / "source")
    tensors = load_file(path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    grown = grow(path, DOUBLED, tmp_path / "target")
    ids = ids_for(31, 20)
    before, after = (by_transformers(d, CLASSES["gpt2"], ids) for d in (path, grown.target))
    assert worst(before, after) < 1e-9


@pytest.mark.parametrize(
    ("family", "config", "words"),
    [
        ("gpt2", {"tie_word_embeddings": False}, "the head has a matrix of its own already"),
        ("bert", {"architectures": ["BertModel"]}, "BertModel has no head that reads the embedding"),
    ],
)
def test_where_there_is_nothing_to_untie_it_says_so(family: str, config: dict[str, Any], words: str) -> None:
    typed = check(family, DOUBLED, **{**TIED[family], **config})
    assert [step.verb for step in typed.steps] == ["widen", "widen"]
    assert f"`head untie`: {words}" in typed.steps[0].proof.reasons
    assert not any("untie" in reason for reason in typed.steps[1].proof.reasons)


def test_the_default_leaves_the_head_tied() -> None:
    typed = check("smollm", "widen hidden 48→96 via hypercloning", **TIED["smollm"])
    assert typed.target.tied
    assert not any(step.verb == "untie" for step in typed.steps)


# the proof, and what it refuses ------------------------------------------------------------------


def changed(family: str, **fields: Any) -> Model:
    bound = model(family, **TIED[family])
    return replace(bound, family=replace(bound.family, **fields))


def refusal(bound: Model) -> str:
    with pytest.raises(DiagnosticError) as error:
        check_plan(parse_text(DOUBLED, "<test>", "dsl"), bound)
    (d,) = error.value.diagnostics
    assert d.code == "GP235" and d.span is not None
    check_plan(parse_text("widen hidden 48→96 via hypercloning", "<test>", "dsl"), bound)  # the way out
    return dict(d.notes)["found"]


def test_a_family_that_does_not_say_what_the_head_repeats_is_refused() -> None:
    assert "what `lm_head.weight` repeats" in refusal(changed("gpt2", copies={}))


def test_a_head_that_would_read_another_tensor_is_refused() -> None:
    """wpe is no wte: D(y) would be logits by the positions' table."""
    assert "not the tied one" in refusal(changed("gpt2", copies={"lm_head.weight": "wpe.weight"}))


def test_an_untied_head_that_computes_something_else_is_refused() -> None:
    """BERT's decoder on the stream itself, without the transform before it."""
    family = model("bert", **TIED["bert"]).family
    _, logits, bias = family.heads["mlm, untied"]
    short = Assign(("logits",), Call("cls.predictions.decoder", (Name("x"),)))
    assert logits.targets == short.targets
    heads = {**family.heads, "mlm, untied": (short, bias)}
    assert "not the tied one" in refusal(changed("bert", heads=heads))


@pytest.mark.parametrize("family", ["gpt2", "bert", "smollm"])
def test_the_families_that_ship_say_it_right(family: str) -> None:
    bound = model(family, **TIED[family])
    assert bound.tied and same_head(bound, untied(bound))


def test_a_head_from_another_tensor_is_an_objection() -> None:
    typed = check("gpt2", DOUBLED, **TIED["gpt2"])
    graph = lower(typed)
    assert not verify(graph)
    (node,) = (n for n in graph.nodes.values() if isinstance(n.op, CopyTensor))
    op = CopyTensor("transformer.wpe.weight", "lm_head.weight")
    graph.nodes[node.id] = replace(node, op=op, inputs=("transformer.wpe.weight@0",))
    assert verify(graph)
