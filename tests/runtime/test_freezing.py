"""Parts of a model in training: what is frozen has no gradient and no graph; sub-models follow the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.runtime import SubModels, freeze, selected, training_only
from growplan.runtime.recomputing import recomputation, recompute
from tests.runtime.grown import Grown

STACK = "stack depth 2→4 via mslt"


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return Grown.by(STACK, "gpt2", tmp_path_factory.mktemp("mslt"))


def backward(grown: Grown, model: Any) -> dict[str, torch.Tensor]:
    """Gradients by name; those that are not there left out."""
    model.zero_grad()
    model(grown.inputs, labels=grown.inputs).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def kept_bytes(grown: Grown, model: Any) -> int:
    """Bytes of activations that autograd keeps for the backward pass; parameters not counted."""
    parameters = {p.data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        if x.data_ptr() not in parameters:
            found[x.data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = model(grown.inputs, labels=grown.inputs).loss
    del loss
    return sum(found.values())


def test_new_layers_alone(gpt2: Grown) -> None:
    model, directory = gpt2.load("g"), gpt2.folder / "g"
    whole = backward(gpt2, model)
    train = selected(model, directory, "new-layers, head", tied="freeze")
    assert {name.split(".")[2] for name in train if ".h." in name} == {"2", "3"}
    assert train - {n for n in train if ".h." in n} == {"transformer.ln_f.weight", "transformer.ln_f.bias"}
    with training_only(model, train):
        part = backward(gpt2, model)
        assert set(part) == train
        assert all(torch.allclose(part[name], whole[name], rtol=1e-12, atol=1e-15) for name in train)
        small = kept_bytes(gpt2, model)
    assert small < 0.75 * kept_bytes(gpt2, model)  # two of four layers, the embeddings, no head's weight
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("reentrant", [False, True])
def test_frozen_blocks_run_once_under_gradient_checkpointing(reentrant: bool, gpt2: Grown) -> None:
    """transformers asks for a gradient at the embeddings, which only reentrant checkpoints need."""
    model, directory = gpt2.load("g").train(), gpt2.folder / "g"
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    train = selected(model, directory, "top 1, head", tied="freeze")
    with training_only(model, train):
        wanted = backward(gpt2, model)
    recompute(model, {"use_reentrant": reentrant})
    runs = [0] * 4
    for layer, block in enumerate(model.transformer.h):
        block.ln_1.register_forward_pre_hook(lambda *_, layer=layer: runs.__setitem__(layer, runs[layer] + 1))
    with training_only(model, train):
        found = backward(gpt2, model)
    assert runs == ([2] * 4 if reentrant else [1, 1, 1, 2])
    assert set(found) == train and all(torch.allclose(found[n], wanted[n], atol=1e-14) for n in train)
    assert model.transformer.wte(gpt2.inputs).requires_grad
    with SubModels.of(model, directory, 1, seed=1).at(0) as depth:
        runs[:] = [0] * 4
        backward(gpt2, model)
    once = 2 if reentrant else 1
    assert runs == [once] * (depth - 1) + [2] + [0] * (4 - depth) and depth > 1
    assert recomputation(model) == {"use_reentrant": reentrant} and model._require_grads_hooks


@pytest.mark.parametrize(
    ("family", "words", "count"),
    [("bert", "top 1", 16), ("llama", "layers 0:1", 9), ("vit", "embeddings", 4), ("vit", "head", 4)],
)
def test_words_name_parameters(family: str, words: str, count: int, tmp_path: Path) -> None:
    grown = Grown.by("stack depth x2", family, tmp_path)
    assert len(selected(grown.load("g"), tmp_path / "g", words)) == count


def test_adamw_neither_moves_nor_decays_what_is_frozen(gpt2: Grown) -> None:
    model = gpt2.load("g")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    backward(gpt2, model)
    frozen = freeze(model, selected(model, gpt2.folder / "g", "top 1"))
    assert {name.split(".")[2] for name, p in model.named_parameters() if p.grad is not None} == {"3"}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    backward(gpt2, model)
    optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all(".h.3." in name for name in moved)
    frozen.release()
    assert len(backward(gpt2, model)) == len(before)


@pytest.mark.parametrize(
    ("words", "code"),
    [("", "GP590"), ("top 9", "GP590"), ("new layers", "GP590"), ("head", "GP591"), ("embeddings", "GP591")],
)
def test_words_that_say_nothing(gpt2: Grown, words: str, code: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        selected(gpt2.load("g"), gpt2.folder / "g", words)
    assert [d.code for d in error.value.diagnostics] == [code]
    assert error.value.diagnostics[0].help


def test_new_layers_need_a_record(gpt2: Grown) -> None:
    with pytest.raises(DiagnosticError, match="no record of new layers"):
        selected(gpt2.load("m"), gpt2.folder / "m", "new-layers")


def test_a_sub_model_is_a_prefix_and_trains_its_top(gpt2: Grown) -> None:
    model = gpt2.load("g")
    models = SubModels.of(model, gpt2.folder / "g", 2, seed=4)
    keys = list(model.state_dict())
    drawn = [models.depth(step) for step in range(40)]
    assert set(drawn) == {2, 4} and drawn == [models.depth(step) for step in range(40)]
    other = SubModels.of(model, gpt2.folder / "g", 2, seed=5)
    assert drawn != [other.depth(step) for step in range(40)]
    step = drawn.index(2)
    with models.at(step) as depth:
        grads = backward(gpt2, model)
        logits = gpt2.logits(model)
    assert depth == 2 and {name.split(".")[2] for name in grads} == {"0", "1"}
    assert torch.equal(logits, gpt2.logits(gpt2.load("m")))  # MSLT keeps the lower layers
    assert list(model.state_dict()) == keys
    with models.at(drawn.index(4)):
        assert {name.split(".")[2] for name in backward(gpt2, model)} == {"2", "3"}
    assert len(backward(gpt2, model)) == len(list(model.named_parameters()))


def test_sub_models_fill_the_model(gpt2: Grown) -> None:
    with pytest.raises(DiagnosticError, match="no whole number of 3"):
        SubModels.of(gpt2.load("g"), gpt2.folder / "g", 3)
