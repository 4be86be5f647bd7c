"""A target run block by block: the gradients of the whole, with the tensors of one block at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from growplan.diagnostics import DiagnosticError
from growplan.learn.blocks import Blocks, container
from growplan.learn.fit import Objective
from growplan.learn.model import Named, Target
from growplan.learn.ranks import ALONE
from tests.learn.handmade import bound
from tests.learn.test_fit import CONFIGS, SIZES, corpus_of, leaves_of, objective
from tests.learn.test_operators import TEXT, gpt2
from tests.learn.test_shards import Case
from tests.tiny import tiny_checkpoint

CASES: list[tuple[str, str | None, dict[str, Any]]] = [
    ("gpt2", None, {}),
    ("gpt2", None, {"tie_word_embeddings": False}),
    ("bert", "BertForMaskedLM", {}),
    ("bert", "BertForMaskedLM", {"tie_word_embeddings": False}),
    ("roberta", None, {}),
    ("llama", None, {}),
    ("llama", None, {"tie_word_embeddings": True}),
    ("mixtral", None, {}),
    ("vit", None, {}),
    ("deit", "DeiTForImageClassification", {}),
]
GROWN: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "gpt2": (SIZES, CONFIGS["gpt2"]),
    "llama": (
        {"hidden": 64, "heads": 8, "kv_heads": 4, "ffn": 96, "depth": 3},
        {
            "hidden_size": 64,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
        },
    ),
}
GROWN["mixtral"] = GROWN["llama"]


def both(source: Path, *, dropout: bool = False) -> tuple[Objective, Objective]:
    """The loss of a grown model as a whole, and block by block; with `dropout`, in training mode."""
    sizes, config = GROWN.get(bound(source).family.name, (SIZES, CONFIGS["vit"]))
    whole = replace(objective(source, sizes, **config), dropout="key" if dropout else None)
    target = Target(whole.target.model)
    return whole, replace(whole, target=target, blocks=Blocks(target))


def gradients(made: Objective, parts: int = 1) -> tuple[float, dict[str, Tensor | None]]:
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(made).items()}
    loss = made.backward(leaves, corpus_of(made.target.model).batch(0), parts)
    return loss, {name: leaf.grad for name, leaf in leaves.items()}


def assert_same(whole: Objective, by_block: Objective, parts: int = 1) -> None:
    (loss, expected), (found, grads) = gradients(whole, parts), gradients(by_block, parts)
    assert found == pytest.approx(loss, rel=1e-12)
    assert any(grad is not None and bool(grad.any()) for grad in expected.values())
    for name, grad in expected.items():
        torch.testing.assert_close(grads[name], grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("family", "architecture", "config"), CASES)
def test_gradients_of_the_whole(
    tmp_path: Path, family: str, architecture: str | None, config: dict[str, Any]
) -> None:
    source = tiny_checkpoint(family, tmp_path / "m", architecture=architecture, dtype="float64", **config)
    whole, by_block = both(source)
    assert_same(whole, by_block)
    batches, leaves = corpus_of(whole.target.model).held_out(), leaves_of(whole)
    assert by_block.measure(leaves, batches) == pytest.approx(whole.measure(leaves, batches), rel=1e-12)


def test_in_parts(tmp_path: Path) -> None:
    assert_same(*both(tiny_checkpoint("gpt2", tmp_path / "m", dtype="float64")), parts=3)


def test_dropout_is_drawn_again_as_it_was(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m", dtype="float64", resid_pdrop=0.3, attn_pdrop=0.3)
    whole, by_block = both(source, dropout=True)
    assert_same(whole, by_block)
    assert gradients(whole)[0] != gradients(both(source)[0])[0]


# memory --------------------------------------------------------------------------------------------


class Watched:
    """A maker of tensors that counts, at every call, the tensors of earlier calls that are still held."""

    def __init__(self, made: Objective, leaves: Mapping[str, Tensor]) -> None:
        self.made, self.leaves = made, leaves
        self.calls: list[tuple[str, ...]] = []
        self.held: list[int] = []
        self._storages: list[StorageWeakRef] = []

    def __call__(self, names: Sequence[str]) -> Named:
        self.held.append(sum(not storage.expired() for storage in self._storages))
        tensors = self.made.materialise(self.leaves, names)
        self.calls.append(tuple(names))
        assert self.made.blocks is not None
        if names != self.made.blocks.outside:
            self._storages += [StorageWeakRef(tensor.untyped_storage()) for tensor in tensors.values()]
        return tensors


def test_the_tensors_of_one_block_at_a_time(tmp_path: Path) -> None:
    """Up the blocks and down again; when one is made, nothing of the others is left."""
    _, made = both(tiny_checkpoint("gpt2", tmp_path / "m"))
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(made).items()}
    blocks, watched = made.blocks, Watched(made, leaves)
    assert blocks is not None
    loss = blocks(watched, corpus_of(made.target.model).batch(0).inputs).square().mean()
    loss.backward()
    up = [tuple(names) for names in blocks.inside]
    assert watched.calls == [tuple(blocks.outside), *up, *reversed(up)]
    assert watched.held == [0] * len(watched.calls)
    every = [name for names in (blocks.outside, *blocks.inside) for name in names]
    assert sorted(every) == sorted(made.materialise.values)


def test_without_gradients_no_block_is_made_twice(tmp_path: Path) -> None:
    _, made = both(tiny_checkpoint("vit", tmp_path / "m"))
    blocks, watched = made.blocks, Watched(made, leaves_of(made))
    assert blocks is not None
    with torch.no_grad():
        blocks(watched, corpus_of(made.target.model).batch(0).inputs)
    assert watched.calls == [tuple(blocks.outside), *map(tuple, blocks.inside)]


# classes -------------------------------------------------------------------------------------------


def test_the_recomputation_of_the_class_stays_refused(tmp_path: Path) -> None:
    _, made = both(tiny_checkpoint("gpt2", tmp_path / "m"))
    made.target.module.gradient_checkpointing_enable()
    with pytest.raises(DiagnosticError, match="GP533"):
        made.backward(leaves_of(made), corpus_of(made.target.model).batch(0))


@pytest.mark.parametrize(
    ("family", "architecture", "path"),
    [
        ("gpt2", None, "transformer.h"),
        ("bert", "BertForMaskedLM", "bert.encoder.layer"),
        ("llama", None, "model.layers"),
        ("mixtral", None, "model.layers"),
        ("vit", None, "vit.layers"),
    ],
)
def test_where_a_class_holds_its_blocks(
    tmp_path: Path, family: str, architecture: str | None, path: str
) -> None:
    assert (
        container(Target(bound(tiny_checkpoint(family, tmp_path / "m", architecture=architecture)))) == path
    )


def test_a_class_without_one_list_of_blocks_is_told(tmp_path: Path) -> None:
    target = Target(bound(tiny_checkpoint("gpt2", tmp_path / "m")))
    target.names = {
        name: path.replace("transformer.h.1.", "transformer.last.") for name, path in target.names.items()
    }
    with pytest.raises(DiagnosticError, match=r"GP545.*does not hold its layers in one list"):
        Blocks(target)


# from the plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "via ligo on austen.txt for 4 steps, tying layer",
        "via ligo on austen.txt for 4 steps, tying layer, order width-first",
        "via ligo on austen.txt for 4 steps, init fpi, tying shared",
        "via mango on austen.txt for 4 steps, rank 2",
    ],
)
def test_a_plan_may_ask_for_it(tmp_path: Path, method: str) -> None:
    """The same losses and the same operator, within the rounding of float64, after some steps."""
    gpt2(tmp_path / "m", dtype="float64")
    (tmp_path / "austen.txt").write_bytes(TEXT.read_bytes())
    line = f"grow hidden 48→64, heads 6→8, ffn 192→256, depth 2→3 {method}"
    found = []
    for how in ("none", "blocks"):
        options = f", lr 0.01, batch 4, warmup 2, accumulate 2, checkpoint {how}"
        leaves, record = Case(tmp_path, line, options, 4).fit(ALONE)
        assert record.recipe.checkpoint == how
        found.append((record.before, record.after, leaves))
    (before, after, whole), (again, last, by_block) = found
    assert again == pytest.approx(before, rel=1e-12) and last == pytest.approx(after, rel=1e-9)
    assert abs(after - before) > 1e-3
    for name, leaf in whole.items():
        torch.testing.assert_close(by_block[name], leaf, rtol=1e-6, atol=1e-9)
