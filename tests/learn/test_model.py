"""The transformers class under functional_call: names, ties, and the same numbers as a load from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growplan.diagnostics import DiagnosticError
from growplan.families.model import Model
from growplan.learn import model as learn_model
from growplan.learn.model import Target, build, names_in_memory
from tests.learn.handmade import bound, grown, read_of
from tests.tiny import tiny_checkpoint

CASES: list[tuple[str, str | None, dict[str, Any]]] = [
    ("gpt2", None, {}),
    ("gpt2", None, {"tie_word_embeddings": False}),
    ("gpt2", "GPT2ForSequenceClassification", {"pad_token_id": 0}),
    ("bert", "BertForMaskedLM", {}),
    ("bert", "BertForMaskedLM", {"tie_word_embeddings": False}),
    ("bert", "BertForPreTraining", {}),
    ("roberta", None, {}),
    ("llama", None, {}),
    ("llama", None, {"tie_word_embeddings": True}),
    ("mistral", None, {}),
    ("qwen2", None, {}),
    ("qwen3", None, {}),
    ("vit", None, {}),
    ("deit", "DeiTForImageClassification", {}),
    ("mixtral", None, {}),
    ("mixtral", None, {"tie_word_embeddings": True, "intermediate_size": 79}),
]


def stored(model: Model, source: Path) -> dict[str, Tensor]:
    read = read_of(source)
    return {name: read(name, 0, model.shape(param)[0]) for name, param, _ in model.tensors()}


def inputs_of(model: Model) -> Tensor:
    random = torch.Generator().manual_seed(1)
    if model.inputs == "image":
        return torch.randn(
            2, model.sizes["channels"], model.sizes["image"], model.sizes["image"], generator=random
        )
    return torch.randint(2, model.sizes["vocab"], (2, 9), generator=random)


def loaded(model: Model, source: Path) -> Any:
    import transformers

    cls = getattr(transformers, model.architecture)
    return cls.from_pretrained(source, experts_implementation="eager").eval()


@pytest.mark.parametrize(("family", "architecture", "config"), CASES)
def test_gives_what_the_loaded_class_gives(
    tmp_path: Path, family: str, architecture: str | None, config: dict[str, Any]
) -> None:
    source = tiny_checkpoint(family, tmp_path / "m", architecture=architecture, **config)
    model = bound(source)
    inputs = inputs_of(model)
    with torch.no_grad():
        out = loaded(model, source)(inputs)
        expected = out.prediction_logits if getattr(out, "logits", None) is None else out.logits
        found = Target(model)(stored(model, source), inputs)
    assert float(expected.abs().max()) > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("family", "architecture", "config"), CASES)
def test_every_parameter_is_given_by_one_tensor(
    tmp_path: Path, family: str, architecture: str | None, config: dict[str, Any]
) -> None:
    """Gradients reach every tensor on disk, and no parameter of the class lies outside of them."""
    source = tiny_checkpoint(family, tmp_path / "m", architecture=architecture, **config)
    model, target = bound(source), Target(bound(source))
    tensors = {name: tensor.requires_grad_() for name, tensor in stored(model, source).items()}
    target(tensors, inputs_of(model)).square().sum().backward()
    silent = {name for name, tensor in tensors.items() if tensor.grad is None}
    unread = ("pooler", "seq_relationship", "cls.predictions.bias")  # another output; a bias stored twice
    assert all(any(word in name for word in unread) for name in silent)
    held = [name for packed in target.packed.values() for name in packed.names]
    assert len(set(target.names.values())) == len(target.names)
    assert sorted([*target.names, *held]) == sorted(tensors)
    assert {p.device.type for p in target.module.parameters()} == {"meta"}


def test_a_tied_tensor_is_given_once_and_has_both_gradients(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m")
    model = bound(source)
    target, tensors, ids = Target(model), stored(model, source), inputs_of(model)
    assert not any(name.startswith("lm_head") for name in target.names)
    table = tensors["transformer.wte.weight"].requires_grad_()
    target(tensors, ids).square().sum().backward()
    ordinary = loaded(model, source)
    ordinary(ids).logits.square().sum().backward()
    assert table.grad is not None
    torch.testing.assert_close(table.grad, ordinary.lm_head.weight.grad, rtol=1e-4, atol=1e-4)


def test_an_older_checkpoint_keeps_its_names(tmp_path: Path) -> None:
    """Norms as gamma and beta, and no prefix of the base model."""
    from safetensors.torch import load_file, save_file

    for family, architecture, prefix in (("bert", "BertForMaskedLM", ""), ("gpt2", None, "transformer.")):
        source = tiny_checkpoint(family, tmp_path / family, architecture=architecture)
        expected = Target(bound(source))(stored(bound(source), source), inputs_of(bound(source)))
        file = source / "model.safetensors"
        renamed = {name.removeprefix(prefix): tensor for name, tensor in load_file(file).items()}
        if family == "bert":
            renamed = {
                n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                    "LayerNorm.bias", "LayerNorm.beta"
                ): t
                for n, t in renamed.items()
            }
        save_file(renamed, file, {"format": "pt"})
        model = bound(source)
        assert torch.equal(Target(model)(stored(model, source), inputs_of(model)), expected)


def test_names_differ_in_memory_where_transformers_renames(tmp_path: Path) -> None:
    model = bound(tiny_checkpoint("vit", tmp_path / "m"))
    names, packed = names_in_memory(model, build(model))
    assert not packed
    assert (
        names["vit.encoder.layer.1.attention.attention.query.weight"]
        == "vit.layers.1.attention.q_proj.weight"
    )


def test_recomputation_by_the_class_is_refused(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m")
    model = bound(source)
    target = Target(model)
    target.module.gradient_checkpointing_enable()
    with pytest.raises(DiagnosticError, match="GP533"):
        target(stored(model, source), inputs_of(model))
    target.module.gradient_checkpointing_disable()
    target(stored(model, source), inputs_of(model))


def test_recomputation_by_the_class_has_wrong_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why it is refused: at equal loss the gradients are those of the parameters left in the module."""
    source = tiny_checkpoint("gpt2", tmp_path / "m", dtype="float64")
    model, ids = bound(source), inputs_of(bound(source))
    found = []
    for recompute in (False, True):
        monkeypatch.setattr(learn_model, "refuse_recomputation", lambda module: None)
        monkeypatch.setattr(learn_model, "_empty", lambda module: None)
        target = Target(model)
        target.module.to(torch.float64)
        torch.manual_seed(0)
        target.module.init_weights()
        if recompute:
            target.module.gradient_checkpointing_enable({"use_reentrant": False})
            target.module.train()
            for part in target.module.modules():
                if isinstance(part, torch.nn.Dropout):
                    part.p = 0.0
        tensors = {name: tensor.requires_grad_() for name, tensor in stored(model, source).items()}
        loss = target(tensors, ids).square().mean()
        loss.backward()
        found.append((float(loss.detach()), tensors["transformer.h.0.mlp.c_fc.weight"].grad))
    (loss, right), (same, wrong) = found
    assert loss == pytest.approx(same, rel=1e-12)
    assert float((right - wrong).norm() / right.norm()) > 1e-3


def test_experts_are_packed_row_by_row(tmp_path: Path) -> None:
    """Gate and up of an expert, then the next expert's: and another order would be another model."""
    source = tiny_checkpoint("mixtral", tmp_path / "m")
    model, inputs = bound(source), inputs_of(bound(source))
    target, tensors = Target(model), stored(model, source)
    expert = "model.layers.1.block_sparse_moe.experts.{}.{}.weight"
    packed = target.packed["model.layers.1.mlp.experts.gate_up_proj"]
    assert packed.names[:3] == (expert.format(0, "w1"), expert.format(0, "w3"), expert.format(1, "w1"))
    assert packed.shape == (4, 160, 48) and packed.of(tensors).shape == packed.shape
    right = target(tensors, inputs)
    one, other = expert.format(2, "w1"), expert.format(2, "w3")
    swapped = {**tensors, one: tensors[other], other: tensors[one]}
    assert float((target(swapped, inputs) - right).abs().max()) > 1e-3


def test_what_the_class_stores_in_other_pieces_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Experts that are turned when they are packed are no rows of tensors."""
    model = bound(tiny_checkpoint("mixtral", tmp_path / "m"))
    monkeypatch.setattr(learn_model, "find_packed", lambda module, shapes: {})
    with pytest.raises(DiagnosticError, match=r"GP532.*is no parameter of its own"):
        Target(model)


def test_a_model_that_the_class_cannot_be_is_refused(tmp_path: Path) -> None:
    """GPT-2 has no head_dim of its own: half of a growth is another model to transformers."""
    model = bound(tiny_checkpoint("gpt2", tmp_path / "m"))
    with pytest.raises(DiagnosticError, match=r"GP532.*multiple|GP532.*divisible"):
        Target(grown(model, {"hidden": 50}, n_embd=50))
    with pytest.raises(DiagnosticError, match=r"GP532.*than the plan makes"):
        Target(grown(model, {"ffn": 200}))
    mixtral = bound(tiny_checkpoint("mixtral", tmp_path / "x"))
    with pytest.raises(DiagnosticError, match=r"GP532.*another `model.layers.0.block_sparse_moe.experts.0.w"):
        Target(grown(mixtral, {"ffn": 84}))
