"""Tensor headers against a config: prefix, names, shapes, dtypes, tied copies."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.families import Model, bind, detect
from tests.families.configs import CONFIGS, Tensor, config, headers, model

Headers = dict[str, Tensor]


def _bind(family: str, tensors: Headers, same: Any = None, **changes: Any) -> Model:
    described = config({**CONFIGS[family], **changes})
    return bind(detect(described), described, tensors, same)


def _refused(family: str, tensors: Headers, same: Any = None, **changes: Any) -> dict[str, str]:
    """code -> message of everything found."""
    with pytest.raises(DiagnosticError) as caught:
        _bind(family, tensors, same, **changes)
    return {d.code: d.message for d in caught.value.diagnostics}


@pytest.mark.parametrize("family", list(CONFIGS))
def test_what_a_checkpoint_has_is_accepted(family: str) -> None:
    source = model(family)
    bound = _bind(family, headers(source, "BF16"))
    assert bound.dtype == "BF16"
    assert bound.prefix == source.prefix
    assert bound.extra_tensors == bound.dropped == ()


@pytest.mark.parametrize(
    ("family", "prefix"), [("bert", "bert."), ("gpt2", "transformer."), ("llama", "model.")]
)
def test_the_prefix_is_found_in_the_names(family: str, prefix: str) -> None:
    source = model(family)
    bare = {name.removeprefix(prefix): tensor for name, tensor in headers(source).items()}
    assert _bind(family, bare).prefix == ""
    base = {"bert": "BertModel", "gpt2": "GPT2Model", "llama": "LlamaModel"}[family]
    inner = headers(model(family, architectures=[base]))
    prefixed = {prefix + name: tensor for name, tensor in inner.items()}
    assert _bind(family, prefixed, architectures=[base]).prefix == prefix


def test_a_class_without_architectures_is_found_in_the_names() -> None:
    for name in ("LlamaModel", "LlamaForCausalLM", "LlamaForSequenceClassification"):
        tensors = headers(model("llama", architectures=[name]))
        assert _bind("llama", tensors, architectures=None).architecture == name


def test_the_pooler_may_be_absent() -> None:
    tensors = headers(model("bert", architectures=["BertModel"]))
    assert _bind("bert", tensors, architectures=["BertModel"]).outputs == ("hidden", "pooled")
    without = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    assert _bind("bert", without, architectures=["BertModel"]).outputs == ("hidden",)


def test_masked_lm_with_the_stored_rest_of_pretraining() -> None:
    """bert-base-uncased names BertForMaskedLM and stores the pooler and the NSP head."""
    tensors = headers(model("bert", architectures=["BertForPreTraining"]))
    bound = _bind("bert", tensors)
    assert bound.architecture == "BertForMaskedLM"
    assert bound.outputs == ("logits", "relation")


def test_gamma_and_beta() -> None:
    def old(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    tensors = {old(name): tensor for name, tensor in headers(model("bert")).items()}
    bound = _bind("bert", tensors)
    assert {name for name, _, _ in bound.tensors()} == set(tensors)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("bert", "bert.embeddings.position_ids"),
        ("gpt2", "transformer.h.1.attn.bias"),
        ("gpt2", "transformer.h.1.attn.masked_bias"),
        ("llama", "model.layers.2.self_attn.rotary_emb.inv_freq"),
    ],
)
def test_buffers_are_carried(family: str, name: str) -> None:
    tensors = {**headers(model(family)), name: Tensor("I64", (1, 24))}
    assert _bind(family, tensors).extra_tensors == (name,)


@pytest.mark.parametrize(
    ("family", "copy"),
    [("gpt2", "lm_head.weight"), ("llama", "lm_head.weight"), ("bert", "cls.predictions.decoder.weight")],
)
def test_a_stored_tied_head_needs_the_same_bytes(family: str, copy: str) -> None:
    tied = {"tie_word_embeddings": True}
    tensors = {**headers(model(family, **tied)), copy: Tensor("F32", (31, 48))}
    assert set(_refused(family, tensors, **tied)) == {"GP335"}
    assert set(_refused(family, tensors, lambda a, b: False, **tied)) == {"GP335"}
    asked = []
    bound = _bind(family, tensors, lambda a, b: asked.append((a, b)) or True, **tied)
    assert bound.dropped == (copy,)
    assert asked[0][0] == copy
    assert asked[0][1] in {name for name, _, _ in bound.tensors()}


def test_an_untied_head_is_a_tensor_of_its_own() -> None:
    tensors = headers(model("gpt2", tie_word_embeddings=False))
    assert "lm_head.weight" in tensors
    assert not _bind("gpt2", tensors, tie_word_embeddings=False).tied


def test_missing_layers() -> None:
    tensors = headers(model("gpt2"))
    found = _refused("gpt2", tensors, n_layer=4)
    assert set(found) == {"GP330"}
    assert "12 tensors are missing" in found["GP330"]
    assert "transformer.h.3.ln_1.weight" in found["GP330"]


def test_unexpected_layers() -> None:
    found = _refused("gpt2", headers(model("gpt2")), n_layer=2)
    assert set(found) == {"GP331"}
    assert "transformer.h.2." in found["GP331"]


def test_shapes_and_their_axes() -> None:
    tensors = headers(model("gpt2"))
    tensors["transformer.h.1.mlp.c_fc.weight"] = Tensor("F32", (192, 48))
    with pytest.raises(DiagnosticError) as caught:
        _bind("gpt2", tensors)
    (found,) = caught.value.diagnostics
    assert found.code == "GP332"
    assert found.notes == (("needs", "[48, 192] (hidden, ffn)"), ("found", "[192, 48]"))


def test_dtypes() -> None:
    assert set(_refused("gpt2", headers(model("gpt2"), "I8"))) == {"GP333"}
    assert set(_refused("llama", headers(model("llama"), "F8_E4M3"))) == {"GP333"}
    mixed = {**headers(model("bert")), "cls.predictions.bias": Tensor("F16", (31,))}
    assert set(_refused("bert", mixed)) == {"GP334"}


def test_nothing_stored() -> None:
    assert set(_refused("bert", {})) == {"GP330"}
