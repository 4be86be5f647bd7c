"""The loss of a fit, its gradient, its schedule; and that an interrupted fit ends as it would have."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from growplan.diagnostics import DiagnosticError
from growplan.families.model import Model
from growplan.learn.blocks import Blocks
from growplan.learn.corpus import Corpus, Images, Tokens
from growplan.learn.fit import Objective, State, fit, products_of, rate
from growplan.learn.init import initial
from growplan.learn.materialise import Materialiser
from growplan.learn.model import Target
from growplan.learn.resume import Kept
from growplan.methods.operator import LeafSpec, Recipe
from tests.learn.handmade import Builder, bound, grown, random_leaves, read_of
from tests.tiny import tiny_checkpoint

SIZES: dict[str, Any] = {"hidden": 60, "heads": 6, "ffn": 224, "depth": 3}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 60, "n_layer": 3, "n_inner": 224},
    "vit": {"hidden_size": 60, "num_hidden_layers": 3, "intermediate_size": 224},
}
CONFIGS["bert"] = CONFIGS["vit"]
CPU = (torch.device("cpu"), torch.float32)
RECIPE = Recipe(steps=6, lr=1e-2, warmup=2, batch=6, tokens=8)


def objective(source: Path, sizes: dict[str, Any] = SIZES, **config: Any) -> Objective:
    old = bound(source)
    config = config or {**CONFIGS[old.family.name], "head_dim": None}
    config.pop("head_dim", None)
    new = _with_head_dim(old, sizes, config)
    return Objective(Materialiser(Builder(old, new).build(), 1, read_of(source)), Target(new))


def _with_head_dim(old: Model, sizes: dict[str, Any], config: dict[str, Any]) -> Model:
    return grown(old, {**sizes, "head_dim": sizes["hidden"] // sizes["heads"]}, **config)


def corpus_of(model: Model, recipe: Recipe = RECIPE) -> Corpus:
    random = np.random.default_rng(0)
    if model.inputs == "image":
        shape = (60, model.sizes["channels"], model.sizes["image"], model.sizes["image"])
        labels = random.integers(0, model.sizes["labels"], 60)
        return Images(random.normal(size=shape), labels, "sha", recipe.batch, shape[-1], "k")
    ids = random.integers(0, model.sizes["vocab"], 400).cumsum() % model.sizes["vocab"]
    causal = model.architecture == "GPT2LMHeadModel"
    task: Any = "causal" if causal else "masked"
    return Tokens(ids, "sha", task, recipe.batch, recipe.tokens, "k", model.sizes["vocab"], mask=4)


def leaves_of(made: Objective) -> dict[str, torch.Tensor]:
    return random_leaves(made.materialise.shapes, made.materialise.dtype)


@pytest.mark.parametrize(
    ("family", "architecture"), [("gpt2", None), ("bert", "BertForMaskedLM"), ("vit", None)]
)
def test_gradient_of_the_whole_loss(tmp_path: Path, family: str, architecture: str | None) -> None:
    """Every leaf, against central differences along random directions, in float64."""
    made = objective(tiny_checkpoint(family, tmp_path / "m", architecture=architecture, dtype="float64"))
    batch = corpus_of(made.target.model).batch(0)
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(made).items()}
    loss = made.backward(leaves, batch)
    assert loss == pytest.approx(made.measure(leaves, [batch]), rel=1e-12)
    random = torch.Generator().manual_seed(0)
    step = 1e-5
    for name, leaf in leaves.items():
        along = torch.randn(leaf.shape, generator=random, dtype=torch.float64)
        sides = [made.measure({**leaves, name: leaf.detach() + s * along}, [batch]) for s in (step, -step)]
        assert leaf.grad is not None
        slope = float((leaf.grad * along).sum())
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-8), name
    key_biases = {"depth/layer.attention.self.key.bias"}  # softmax does not see them where v is mixed alike
    silent = {name for name, leaf in leaves.items() if leaf.grad is None or not bool(leaf.grad.any())}
    assert silent <= key_biases


@pytest.mark.parametrize("parts", [2, 4, 6, 9])
def test_parts_of_a_batch_give_its_gradient(tmp_path: Path, parts: int) -> None:
    source = tiny_checkpoint("bert", tmp_path / "m", architecture="BertForMaskedLM", dtype="float64")
    made = objective(source)
    batch, found = corpus_of(made.target.model).batch(0), []
    for count in (1, parts):
        leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(made).items()}
        found.append((made.backward(leaves, batch, count), {n: leaf.grad for n, leaf in leaves.items()}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    for name, grad in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("family", "architecture"), [("gpt2", None), ("bert", "BertForMaskedLM"), ("vit", None)]
)
def test_the_loss_is_that_of_transformers(tmp_path: Path, family: str, architecture: str | None) -> None:
    import transformers

    source = tiny_checkpoint(family, tmp_path / "m", architecture=architecture)
    made = objective(source)
    model, leaves = made.target.model, leaves_of(made)
    batch = corpus_of(model).batch(0)
    cls = getattr(transformers, model.architecture)
    stock = cls(cls.config_class.from_dict(dict(model.config))).eval()
    tensors = made.materialise(leaves)
    state = {made.target.names[name]: tensor for name, tensor in tensors.items()}
    assert not stock.load_state_dict(state, strict=False).unexpected_keys
    stock.tie_weights()
    labels = batch.inputs if family == "gpt2" else batch.targets
    word = "pixel_values" if family == "vit" else "input_ids"
    with torch.no_grad():
        expected = float(
            stock(
                **{word: batch.inputs.to(torch.float32) if family == "vit" else batch.inputs}, labels=labels
            ).loss
        )
    assert made.measure(leaves, [batch]) == pytest.approx(expected, rel=1e-5)


def test_a_fit_lowers_the_loss_and_moves_every_leaf(tmp_path: Path) -> None:
    made = objective(tiny_checkpoint("gpt2", tmp_path / "m"))
    recipe = replace(RECIPE, steps=30)
    begin, state = leaves_of(made), State.begin(leaves_of(made))
    before, after = fit(made, corpus_of(made.target.model), recipe, state, lambda s: None, lambda n, x: None)
    assert after < before - 0.3
    assert state.done == 30 == len(state.losses) and state.before == before
    assert all(not torch.equal(state.leaves[name], begin[name]) for name in begin)
    assert made.measure(state.leaves, corpus_of(made.target.model).held_out()) == after


def test_a_fit_that_stops_anywhere_ends_the_same(tmp_path: Path) -> None:
    """Bit for bit, through the file: leaves, losses, moments."""
    made = objective(tiny_checkpoint("gpt2", tmp_path / "m"))
    corpus = corpus_of(made.target.model)
    kept = Kept(tmp_path / "fit" / "1.safetensors", {"plan": "a"}, every=2)
    whole = State.begin(leaves_of(made))
    expected = fit(made, corpus, RECIPE, whole, lambda s: None, lambda n, x: None)

    class Killed(Exception):
        pass

    def die(state: State) -> None:
        kept.store(state, RECIPE.steps)
        if state.done == 5:
            raise Killed

    with pytest.raises(Killed):
        fit(made, corpus, RECIPE, State.begin(leaves_of(made)), die, lambda n, x: None)
    state = kept.load()
    assert state is not None and state.done == 4
    assert fit(made, corpus, RECIPE, state, lambda s: None, lambda n, x: None) == expected
    assert state.losses == whole.losses
    for name in whole.leaves:
        assert torch.equal(state.leaves[name], whole.leaves[name])
        assert torch.equal(state.second[name], whole.second[name])
    kept.path.unlink()
    assert kept.load() is None and not list(kept.path.parent.iterdir())


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "fit" / "1.safetensors", {"plan": "a", "data": "b"}, every=1)
    kept.store(State.begin({"w": torch.ones(2, 2)}), 5)
    with pytest.raises(DiagnosticError, match=r"GP535.*belongs to another run: data changed"):
        replace(kept, belongs={"plan": "a", "data": "c"}).load()
    for torn in (b"torn", save({"leaf/w": torch.ones(2, 2)}, {"fit": '{"done": 1}'})):
        kept.path.write_bytes(torn)
        with pytest.raises(DiagnosticError, match=r"GP535.*cannot be read"):
            kept.load()


DROPPED = {"resid_pdrop": 0.3, "attn_pdrop": 0.2, "embd_pdrop": 0.1}


def test_dropout_is_a_function_of_step_and_part(tmp_path: Path) -> None:
    """Whatever torch's generator holds, which is left as it was; what is held out is read without it."""
    plain = objective(tiny_checkpoint("gpt2", tmp_path / "m", dtype="float64", **DROPPED))
    made = replace(plain, dropout="key")
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(made).items()}
    batch = corpus_of(made.target.model).batch(0)
    torch.manual_seed(1)
    first = made.backward(leaves, batch, 3, step=5)
    untouched = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), untouched)
    assert made.backward(leaves, batch, 3, step=5) == first
    others = {made.backward(leaves, batch, 3, step=6), made.backward(leaves, batch, 2, step=5)}
    others |= {replace(made, dropout="other").backward(leaves, batch, 3, step=5)}
    assert first not in others and len(others) == 3 and plain.backward(leaves, batch, 3, step=5) not in others
    assert made.measure(leaves, [batch]) == plain.measure(leaves, [batch])


def test_a_fit_with_dropout_that_stops_ends_the_same(tmp_path: Path) -> None:
    made = replace(objective(tiny_checkpoint("gpt2", tmp_path / "m", **DROPPED)), dropout="key")
    corpus, whole = corpus_of(made.target.model), State.begin(leaves_of(made))
    kept = Kept(tmp_path / "fit" / "1.safetensors", {}, every=4)
    expected = fit(made, corpus, RECIPE, whole, lambda s: None, lambda n, x: None)
    fit(made, corpus, RECIPE, State.begin(leaves_of(made)), lambda s: kept.store(s, 99), lambda n, x: None)
    state = kept.load()
    assert state is not None and state.done == 4
    torch.manual_seed(123)
    assert fit(made, corpus, RECIPE, state, lambda s: None, lambda n, x: None) == expected
    assert all(torch.equal(state.leaves[name], leaf) for name, leaf in whole.leaves.items())


def test_products_in_bfloat16(tmp_path: Path) -> None:
    """The model's products are rounded, the weights that leaves make are not; block by block the same."""
    made = objective(tiny_checkpoint("gpt2", tmp_path / "m"))
    half = replace(made, products=products_of(Recipe(precision="bfloat16"), *CPU))
    assert half.products == torch.bfloat16
    blocks = replace(half, target=Target(made.target.model))
    blocks = replace(blocks, blocks=Blocks(blocks.target))
    batch, found = corpus_of(made.target.model).batch(0), []
    for each in (made, half, blocks):
        leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(each).items()}
        loss = each.backward(leaves, batch)
        found.append(
            (loss, torch.cat([leaf.grad.flatten() for leaf in leaves.values() if leaf.grad is not None]))
        )
    (loss, exact), (near, rounded), (again, by_block) = found
    assert loss != near and near == pytest.approx(loss, rel=1e-2) and again == pytest.approx(near, rel=1e-3)
    assert 0 < float((exact - rounded).norm() / exact.norm()) < 3e-2
    assert float((by_block - rounded).norm() / exact.norm()) < 1e-2
    with torch.autocast("cpu", torch.bfloat16):
        tensors = half.materialise(leaves_of(half))
    exact_tensors = made.materialise(leaves_of(made))
    assert all(torch.equal(tensors[name], x) for name, x in exact_tensors.items())


def test_where_products_are_in_bfloat16() -> None:
    cuda = torch.device("cuda:0")
    assert products_of(Recipe(), cuda, torch.float32) == torch.bfloat16
    assert products_of(Recipe(), cuda, torch.float64) is products_of(Recipe(), *CPU) is None
    assert products_of(Recipe(precision="float32"), cuda, torch.float32) is None


def test_no_number_is_told(tmp_path: Path) -> None:
    made = objective(tiny_checkpoint("gpt2", tmp_path / "m"))
    corpus = corpus_of(made.target.model)
    broken = leaves_of(made)
    next(iter(broken.values()))[0, 0] = math.nan
    with pytest.raises(DiagnosticError, match=r"GP534.*before the first step"):
        fit(made, corpus, RECIPE, State.begin(broken), lambda s: None, lambda n, x: None)
    wild = replace(RECIPE, lr=1e30, warmup=0)
    with pytest.raises(DiagnosticError, match=r"GP534.*in step 2 of 6"):
        fit(made, corpus, wild, State.begin(leaves_of(made)), lambda s: None, lambda n, x: None)


def test_rates() -> None:
    recipe = Recipe(steps=10, lr=1.0, warmup=4)
    assert [rate(recipe, step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate(recipe, 7) == pytest.approx(0.5)
    assert rate(replace(recipe, schedule="linear"), 7) == pytest.approx(0.5)
    assert rate(replace(recipe, schedule="linear"), 9) == pytest.approx(1 / 6)
    assert rate(replace(recipe, schedule="constant"), 9) == 1.0
    published = Recipe(steps=100, lr=2e-4, warmup=10_000, schedule="linear")
    assert rate(published, 99) == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("init", "sums", "hot"),
    [
        ("stackbert", 1.0, [0, 1, 2, 0, 1]),
        ("interlace", 1.0, [0, 0, 1, 1, 2]),
        ("stackbert-noisy", 1.0, [0, 1, 2, 0, 1]),
        ("interlace-noisy", 1.0, [0, 0, 1, 1, 2]),
        ("rand", 1.0, None),
        ("rand-softmax", 1.0, None),
        ("sel", 1.0, None),
        ("sel-noisy", None, None),
        ("zeros", 0.0, None),
    ],
)
def test_inits(init: str, sums: float | None, hot: list[int] | None) -> None:
    spec = LeafSpec("x", (5, 3), init, "key")
    values = initial(spec, 0.03)
    assert torch.equal(values, initial(spec, 0.03)) and values.dtype == torch.float64
    if sums is not None:
        torch.testing.assert_close(values.sum(1), torch.full((5,), sums, dtype=torch.float64))
    if hot is not None:
        assert values.argmax(1).tolist() == hot
        assert float(values.max(1).values.min()) > 0.9
    if init == "sel-noisy":
        assert (values.max(1).values == 1).all() and 0 < float(values.min()) < 0.03
    if init.startswith("rand"):
        assert not torch.equal(values, initial(replace(spec, key="other"), 0.03))
