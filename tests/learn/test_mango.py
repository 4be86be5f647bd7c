"""Tensor rings in fits: gradients of whole models, LiGO as a special case, from plan to checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from growplan.apply import apply
from growplan.backend.evaluate import Evaluation, with_leaves
from growplan.backend.executor import reader_rows
from growplan.checkpoint.reader import open_reader
from growplan.checkpoint.verify import verify
from growplan.learn.init import initial
from growplan.learn.materialise import Materialiser
from growplan.learn.operators import OPERATOR
from growplan.learn.reading import read_corpus
from growplan.methods.operator import LeafSpec
from tests.backend.plans import Case, case
from tests.learn.handmade import bound
from tests.learn.test_operators import plan_of
from tests.tiny import tiny_checkpoint

SMALL = {"n_embd": 4, "n_head": 2, "vocab_size": 5, "n_positions": 3, "n_inner": 8}
RINGS = {
    "gpt2": "grow hidden 48→72, ffn 192→288, depth 2→4 via mango on c.txt",
    "bert": "grow hidden 48→72, ffn 80→100, depth 2→3 via mango on c.txt",
    "llama": "grow hidden 48→64, heads 6→8, kv_heads 3→4, ffn 80→96, depth 2→3 via mango on c.txt",
    "vit": "grow hidden 48→72, depth 2→3 via mango on c.txt, mix heads",
    "mixtral": "grow hidden 48→72, depth 2→3 via mango on c.txt",
}


def begun(made: Case) -> dict[str, Tensor]:
    """The leaves as a fit begins with them."""
    (step,) = made.typed.steps
    assert step.operator is not None
    return {spec.name: initial(spec, step.operator.noise) for spec in step.leaves}


def tensors(made: Case, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the grown model, as the ordinary kernels make them."""
    with open_reader(made.headers) as reader:
        evaluation = Evaluation(made.graph, with_leaves(reader_rows(reader), leaves))
        return {name: evaluation.whole(value) for name, value in made.graph.models[-1].items()}


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("family", RINGS)
def test_makes_what_the_kernels_make(family: str, rank: int) -> None:
    """All layers at once, and the tensors of one layer alone."""
    made = case(family, f"{RINGS[family]}, rank {rank}", dtype="float64")
    with open_reader(made.headers) as reader:
        make = Materialiser(made.graph, 1, reader_rows(reader))
    expected = tensors(made, made.leaves)
    found = make(made.leaves)
    assert found.keys() == expected.keys()
    some = [name for name in found if ".1." in name]
    for name, tensor in (found | make(made.leaves, some)).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-11, atol=1e-11)
    for name in some:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("names", ["all", "one layer"])
def test_gradients_of_a_whole_model(names: str) -> None:
    line = "grow hidden 4→6, heads 2→3, ffn 8→12, depth 2→3 via mango on c.txt, rank 2"
    made = case("gpt2", line, dtype="float64", config=tuple(SMALL.items()))
    with open_reader(made.headers) as reader:
        make = Materialiser(made.graph, 1, reader_rows(reader))
    some = [name for name in make.values if ".h.1." in name] if names == "one layer" else None
    leaves = made.leaves
    inputs = tuple(leaves[name].requires_grad_() for name in sorted(leaves))

    def squares(*given: Tensor) -> Tensor:
        found = make(dict(zip(sorted(leaves), given, strict=True)), some)
        return torch.stack([(x * (1 + i)).square().sum() for i, x in enumerate(found.values())]).sum()

    assert torch.autograd.gradcheck(squares, inputs, fast_mode=True)


# special cases -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "vit"])
def test_one_operator_for_every_axis_is_ligo(family: str, rank: int) -> None:
    """S_B = I, S_O = S_I = [I ; C]^T and S_L stacked: LiGO with C for all axes, its layers stacked.

    The ffn, twice as wide as the stream, has I_2 kron [I ; C]: LiGO's [I ; I_2 kron C] with its units in
    another order. Other bonds of a larger ring are zero.
    """
    ffn = "n_inner" if family == "gpt2" else "intermediate_size"
    config: tuple[tuple[str, Any], ...] = ((ffn, 96), *[("num_key_value_heads", 6)] * (family == "llama"))
    growth = "hidden 48→72, ffn 96→144, depth 2→5"
    ring = case(
        family,
        f"grow {growth} via mango on c.txt, rank {rank}, mix units{', noise 0' * (rank > 1)}",
        dtype="float64",
        config=config,
    )
    ligo = case(
        family,
        f"grow {growth} via ligo on c.txt, mix units, tying shared, depth-init stackbert",
        dtype="float64",
        config=config,
    )
    leaves = begun(ring)
    c = next(x for name, x in leaves.items() if name.endswith("S_O/stream"))[0, :, 48:, 0].T.contiguous()
    others = begun(ligo)
    for name in others:
        if "/depth/" not in name:
            others[name] = torch.kron(torch.eye(2), c) if name.endswith("/ffn") else c
    found, expected = tensors(ring, leaves), tensors(ligo, others)
    assert found.keys() == expected.keys()
    order = [*range(48), *range(96, 120), *range(48, 96), *range(120, 144)]
    for name, made in expected.items():
        for dim in (dim for dim, size in enumerate(made.shape) if size == 144):
            made = made.index_select(dim, torch.tensor(order))
        torch.testing.assert_close(found[name], made, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "vit", "mixtral"])
def test_equal_sizes_begin_as_the_source(family: str) -> None:
    """No core has other units than the identity's: the same tensors, to the last bit."""
    made = case(family, "grow hidden 48→48, depth 2→2 via mango on c.txt", dtype="float64")
    found, before = tensors(made, begun(made)), made.headers.tensors
    with open_reader(made.headers) as reader:
        read = reader_rows(reader)
        for name, tensor in found.items():
            assert torch.equal(tensor, read(name, 0, before[name].shape[0])), name


def test_other_bonds_begin_small_and_with_a_gradient() -> None:
    """Noise moves the tensors by about its square; with none, the other bonds would stay where they are."""
    line = "grow hidden 48→72, ffn 192→288, depth 2→4 via mango on c.txt, rank 3"
    one, noisy = (case("gpt2", f"{line}{more}", dtype="float64") for more in (", noise 0", ""))
    first, second = tensors(one, begun(one)), tensors(noisy, begun(noisy))
    name = "transformer.h.1.mlp.c_fc.weight"
    moved = float((first[name] - second[name]).std() / first[name].std())
    assert 1e-4 < moved < 0.03
    for made, alive in ((one, False), (noisy, True)):
        with open_reader(made.headers) as reader:
            make = Materialiser(made.graph, 1, reader_rows(reader))
        leaves = {n: x.requires_grad_() for n, x in begun(made).items()}
        sum(x.square().sum() for x in make(leaves).values()).backward()
        core = next(x for n, x in leaves.items() if n.endswith("S_O/stream"))
        assert core.grad is not None and bool(core.grad[1:, :, :, 1:].abs().max() > 0) == alive


# inits ---------------------------------------------------------------------------------------------


def test_how_cores_begin() -> None:
    def core(init: str, *shape: int, side: str = "S_O", noise: float = 0.1) -> Tensor:
        return initial(LeafSpec(f"s/{side}/stream", shape, init, "key/stream"), noise)

    out, read = core("identity, rand", 2, 3, 5, 2), core("identity, rand", 2, 3, 5, 2, side="S_I")
    assert torch.equal(out[0, :, :3, 0], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(out[0, :, 3:, 0].sum(0), torch.ones(2, dtype=torch.float64))
    assert torch.equal(out[0, :, :, 0], read[0, :, :, 0])
    assert not torch.equal(out[1], read[1]) and 0.02 < out[1].std() < 0.12
    assert torch.equal(core("stackbert", 1, 2, 5, 1)[0, :, :, 0].T, torch.eye(2).double()[[0, 1, 0, 1, 0]])
    assert torch.equal(core("identity", 3, 4, 4, 3, noise=0.0)[0, :, :, 0], torch.eye(4).double())
    assert not core("identity", 3, 4, 4, 3, noise=0.0)[1:].any()
    assert torch.equal(core("rand", 1, 3, 4, 1)[0, :, :, 0].sum(0), torch.ones(4).double())


# fits ----------------------------------------------------------------------------------------------

LINE = (
    "grow hidden 48→64, heads 6→8, ffn 192→256, depth 2→3 via mango on austen.txt for {steps} steps, rank 2"
)


def gpt2(folder: Path) -> Path:
    return tiny_checkpoint("gpt2", folder, vocab_size=256, bos_token_id=0, eos_token_id=0)


@pytest.mark.parametrize("checkpoint", ["none", "blocks"])
def test_a_fit_lowers_the_loss_that_the_written_checkpoint_has(tmp_path: Path, checkpoint: str) -> None:
    """Measured again through from_pretrained, on the batches that were held out."""
    import transformers

    gpt2(tmp_path / "m")
    options = f", lr 0.01, batch 4, warmup 2, checkpoint {checkpoint}"
    result = apply(plan_of(tmp_path, LINE, options=options))
    (fitted,), step = result.fitted, result.typed.steps[0]
    assert fitted.after < fitted.before - 0.5 and not verify(tmp_path / "g")
    recorded = json.loads((tmp_path / "g" / "growth.json").read_text())["extra"]["fitted"][0]
    assert recorded["parameters"] == sum(np.prod(leaf.shape) for leaf in step.leaves)
    assert (tmp_path / "g" / OPERATOR).exists()
    model, info = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "g", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    corpus = read_corpus(
        tmp_path / "austen.txt", tmp_path / "m", bound(tmp_path / "g"), fitted.recipe, step.key
    )
    total = asked = 0.0
    with torch.no_grad():
        for batch in corpus.held_out():
            loss = model.eval()(batch.inputs, labels=batch.inputs).loss
            total, asked = total + float(loss) * batch.asked(), asked + batch.asked()
    assert total / asked == pytest.approx(fitted.after, rel=1e-5)


def test_blocks_by_checkpoint_are_the_same_fit(tmp_path: Path) -> None:
    fits = []
    for checkpoint in ("none", "blocks"):
        folder = tmp_path / checkpoint
        folder.mkdir()
        tiny_checkpoint("gpt2", folder / "m", vocab_size=256, bos_token_id=0, eos_token_id=0, dtype="float64")
        options = f", lr 0.01, batch 4, warmup 2, checkpoint {checkpoint}"
        fits.append(apply(plan_of(folder, LINE, options=options, steps=3)).fitted[0])
    assert fits[0].before == pytest.approx(fits[1].before, rel=1e-12)
    assert fits[0].after == pytest.approx(fits[1].after, rel=1e-9)


@pytest.mark.parametrize("family", ["bert", "vit", "llama"])
def test_other_families_from_plan_to_checkpoint(tmp_path: Path, family: str) -> None:
    random = np.random.default_rng(0)
    architecture = "BertForMaskedLM" if family == "bert" else None
    tiny_checkpoint(family, tmp_path / "m", architecture=architecture, initializer_range=0.02)
    if family == "vit":
        labels = random.integers(0, 2, 80)
        pixels = random.normal(size=(80, 2, 20, 20)) + labels[:, None, None, None]
        np.savez(tmp_path / "d.npz", images=pixels, labels=labels)
    else:
        (random.integers(0, 20, 900).cumsum() % 31).astype("<u2").tofile(tmp_path / "d.bin")
    data, mask = ("d.npz" if family == "vit" else "d.bin"), ", mask 4" * (family == "bert")
    kv = ", kv_heads 3→4" * (family == "llama")
    line = f"grow hidden 48→64, heads 6→8{kv}, ffn 80→96, depth 2→3 via mango on {data} for 10 steps{mask}"
    result = apply(plan_of(tmp_path, line, options=", lr 0.01, batch 8, rank 2"), stock=True)
    assert result.fitted[0].after < result.fitted[0].before
    assert result.stock is not None and not verify(tmp_path / "g")


def test_a_ring_among_other_steps(tmp_path: Path) -> None:
    gpt2(tmp_path / "m")
    text = (
        "widen ffn 192→208 via fpi\n"
        "grow hidden 48→56, heads 6→7, depth 2→3 via mango on austen.txt for 3 steps, batch 2\n"
        "stack depth x2\n"
    )
    result = apply(plan_of(tmp_path, text, options=""))
    assert [len(result.fitted), result.typed.target.depth] == [1, 6]
    assert not verify(tmp_path / "g")
