"""General operators: at step 0 they are the static method's checkpoint, whatever it draws or inserts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growplan.apply import apply
from growplan.backend.evaluate import Evaluation, ModelView, with_leaves
from growplan.backend.executor import reader_rows
from growplan.checkpoint.reader import open_reader
from growplan.ir.graph import Graph
from growplan.ir.verify import verify
from growplan.language import parse_text
from growplan.learn.general import static_graph
from growplan.learn.materialise import Materialiser
from growplan.learn.model import Target
from growplan.learn.operators import OPERATOR, first_leaves
from tests.backend.plans import Case, case
from tests.float64 import no_float32_islands
from tests.tiny import tiny_checkpoint

WIDE = "hidden 48→72, ffn 80→100"
DOUBLE = "hidden 48→96, heads 6→12, kv_heads 3→6, ffn 80→160"
TIED = (("num_key_value_heads", 6), ("tie_word_embeddings", True))
MASKED = (("architecture", "BertForMaskedLM"),)
UNTIED = (*MASKED, ("tie_word_embeddings", False))
# family, what grows, the method, config; exact: whether that start keeps the source's function
CASES: dict[str, tuple[str, str, str, tuple[tuple[str, Any], ...], bool]] = {
    "gpt2 fpi": ("gpt2", "hidden 48→72, ffn 192→200", "fpi", (), True),
    "gpt2 fpi stacked": ("gpt2", "hidden 48→72, ffn 192→200, depth 2→3", "fpi, tying layer", (), False),
    "gpt2 lemon": ("gpt2", "hidden 48→120, ffn 192→200, depth 2→3", "lemon", (), True),
    "gpt2 aki": ("gpt2", "hidden 48→72, ffn 192→200, depth 2→5", "aki, depth-init interlace", (), False),
    "gpt2 net2net": ("gpt2", "ffn 192→200, depth 2→3", "net2net, residual learned", (), True),
    "gpt2 hypercloning": ("gpt2", "hidden 48→96, ffn 192→384", "hypercloning", (), True),
    "gpt2 identity": ("gpt2", "depth 2→5", "identity", (), True),
    "gpt2 msg": ("gpt2", "ffn 192→200", "msg", (), True),
    "bert fpi": ("bert", "hidden 48→96, ffn 80→100", "fpi", MASKED, True),
    "bert bert2bert": ("bert", "hidden 48→72, ffn 80→100, depth 2→4", "bert2bert", UNTIED, False),
    "vit fpi": ("vit", WIDE, "fpi", (), True),
    "vit lemon": ("vit", f"{WIDE}, depth 2→4", "lemon", (), True),
    "llama-gqa fpi": ("llama", WIDE, "fpi", (), True),
    "llama-tied lemon": ("llama", f"{WIDE}, depth 2→3", "lemon", TIED, True),
    "llama-tied fpi copies": ("llama", "hidden 48→96, ffn 80→100", "fpi, tying layer", TIED, True),
    "bert aki": ("bert", "hidden 48→72, ffn 80→100, depth 2→3", "aki", MASKED, False),
    "bert net2net": ("bert", "ffn 80→100", "net2net", MASKED, True),
    "vit aki": ("vit", f"{WIDE}, depth 2→3", "aki", (), False),
    "vit net2net": ("vit", "ffn 80→100, depth 2→3", "net2net", (), True),
    "llama-gqa aki": ("llama", f"{WIDE}, depth 2→3", "aki", (), False),
    "llama-gqa net2net": ("llama", "ffn 80→100, depth 2→3", "net2net", (), True),
    "llama-gqa staged": ("llama", DOUBLE, "staged", (), True),
    "llama-gqa hypercloning": ("llama", f"{DOUBLE}, depth 2→3", "hypercloning, tying layer", (), False),
    "qwen3 fpi": ("qwen3", "hidden 48→96, ffn 80→100, depth 2→4", "fpi", (), False),
    "mixtral fpi": ("mixtral", f"{WIDE}, depth 2→3", "fpi", (), False),
}
Named = dict[str, Tensor]


@cache
def grown(name: str, dtype: str = "float64") -> Case:
    family, growth, method, config, _ = CASES[name]
    line = f"grow {growth} via ligo on c.txt, init {method}"
    return case(family, line, dtype=dtype, config=config)


def opened(made: Case, use: Callable[[Any], Any]) -> Any:
    with open_reader(made.headers) as reader:
        return use(reader_rows(reader))


def begun(made: Case, dtype: torch.dtype = torch.float64) -> Named:
    (step,) = made.typed.steps
    return opened(made, lambda read: first_leaves(made.graph, step, read, dtype))  # type: ignore[no-any-return]


def model_after(made: Case, graph: Graph, k: int, leaves: Named | None = None) -> Named:
    """Every tensor of the model after step k of a graph, in the arithmetic dtype."""

    def read_all(read: Any) -> Named:
        evaluation = Evaluation(graph, with_leaves(read, leaves or {}))
        return {name: evaluation.whole(value).clone() for name, value in graph.models[k].items()}

    return opened(made, read_all)  # type: ignore[no-any-return]


def static(made: Case) -> Named:
    """The checkpoint of the static steps, as it would be stored."""
    (step,) = made.typed.steps
    graph = static_graph(made.graph, step)

    def read_all(read: Any) -> Named:
        view = ModelView(graph, len(step.start), read, rounded=True)
        return {name: view.get(name).clone() for name in graph.models[-1]}

    return opened(made, read_all)  # type: ignore[no-any-return]


def logits(made: Case, model: Any, tensors: Named) -> Tensor:
    """What transformers computes on these tensors, in float64."""
    random = torch.Generator().manual_seed(0)
    if model.inputs == "image":
        size, channels = model.config["image_size"], model.config["num_channels"]
        inputs = torch.randn(2, channels, size, size, generator=random, dtype=torch.float64)
    else:
        inputs = torch.randint(0, model.sizes["vocab"], (3, 12), generator=random)
    with torch.no_grad(), no_float32_islands():
        return Target(model)(tensors, inputs)


def near(found: Named, expected: Named, within: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].shape == tensor.shape
        worst = float((found[name].double() - tensor.double()).abs().max())
        assert worst <= within * (1 + float(tensor.double().abs().max())), name


@pytest.mark.parametrize("name", CASES)
def test_step_0_is_the_static_checkpoint(name: str) -> None:
    made = grown(name)
    (step,) = made.typed.steps
    assert verify(made.graph) == []
    leaves, expected = begun(made), static(made)
    found = model_after(made, made.graph, 1, leaves)
    near(found, expected, 1e-15)
    assert dict(step.after.config) == dict(step.start[-1].after.config)  # eps, theta: the static step's
    by_rules = opened(made, lambda read: Materialiser(made.graph, 1, read))(leaves)
    near(by_rules, expected, 1e-15)
    first, second = logits(made, step.after, found), logits(made, step.after, expected)
    spread = float(second.std())
    assert float((first - second).abs().max()) < 1e-10 * spread
    if CASES[name][4]:  # the static method keeps the function, and so does the operator at step 0
        source = logits(made, step.before, model_after(made, made.graph, 0))
        assert float((first - source).abs().max()) < 1e-10 * spread


@pytest.mark.parametrize(
    ("family", "growth", "stack"),
    [
        ("gpt2", "hidden 48→96, ffn 192→384", "x2"),
        ("llama", DOUBLE, "to 4"),
        ("vit", "hidden 48→96, heads 6→12", "x2"),
    ],
)
def test_step_0_is_what_a_static_plan_makes(family: str, growth: str, stack: str) -> None:
    """The same words without an operator, by a method that draws nothing: the same numbers."""
    plan = case(family, f"grow {growth} via hypercloning", f"stack depth {stack}", dtype="float64")
    line = f"grow {growth}, depth 2→4 via ligo on c.txt, init hypercloning"
    made = case(family, line, dtype="float64")
    found = model_after(made, made.graph, 1, begun(made))
    near(found, model_after(plan, plan.graph, len(plan.typed.steps)), 1e-15)
    assert made.typed.target.config == plan.typed.target.config


@pytest.mark.parametrize("name", ["gpt2 lemon", "bert bert2bert", "llama-gqa fpi", "vit fpi"])
def test_step_0_of_a_half_precision_checkpoint(name: str) -> None:
    """Within rounding of float32 leaves, so that what is stored is the same number but for ties."""
    made = grown(name, "bfloat16")
    found = model_after(made, made.graph, 1, begun(made, torch.float32))
    expected = static(made)
    near(found, expected, 1e-7)
    same = sum(int((found[name].to(x.dtype) == x).sum()) for name, x in expected.items())
    assert same >= 0.999 * sum(x.numel() for x in expected.values())


@pytest.mark.parametrize("name", ["gpt2 fpi stacked", "llama-gqa fpi", "bert bert2bert"])
def test_every_leaf_gets_the_gradient_of_what_it_makes(name: str) -> None:
    made = grown(name)
    (step,) = made.typed.steps
    leaves = {n: x.requires_grad_() for n, x in begun(made).items()}
    assert list(leaves) == [spec.name for spec in step.leaves]
    assert [tuple(x.shape) for x in leaves.values()] == [spec.shape for spec in step.leaves]
    tensors = opened(made, lambda read: Materialiser(made.graph, 1, read))(leaves)
    random = torch.Generator().manual_seed(1)
    shapes = {n: torch.randn(x.shape, generator=random, dtype=torch.float64) for n, x in tensors.items()}
    sum((tensors[n] * shapes[n]).sum() for n in tensors).backward()  # type: ignore[union-attr]
    assert [n for n, x in leaves.items() if x.grad is None or not float(x.grad.abs().max())] == []
    for spec in step.leaves:  # of a tensor of its own, what is added has that tensor's gradient
        end = spec.name.removeprefix(f"{step.id}/add/")
        if end == "h.attn.c_attn.weight.1":
            assert torch.equal(leaves[spec.name].grad, shapes["transformer.h.1.attn.c_attn.weight"])


def test_the_operator_is_the_formula() -> None:
    """W_i = E (sum over l of w_il W_l) D^T + N with leaves moved away from their start."""
    made = grown("gpt2 fpi stacked")
    (step,) = made.typed.steps
    random = torch.Generator().manual_seed(2)
    leaves = {
        n: x + 0.1 * torch.randn(x.shape, generator=random, dtype=torch.float64)
        for n, x in begun(made).items()
    }
    old = model_after(made, made.graph, 0)
    new = model_after(made, made.graph, 1, leaves)

    def leaf(name: str) -> Tensor:
        return leaves[f"{step.id}/{name}"]

    for i in range(3):
        w = leaf("depth")[i]

        def blend(end: str, w: Tensor = w) -> Tensor:
            return sum((w[j] * old[f"transformer.h.{j}.{end}"] for j in range(2)), torch.zeros(1))

        down = blend("mlp.c_proj.weight").T  # stored in-out
        made_down = leaf(f"out/h.mlp.c_proj.{i}") @ down @ leaf(f"in/h.mlp.c_proj.{i}").T
        made_down = made_down + leaf(f"add/h.mlp.c_proj.weight.{i}").T
        torch.testing.assert_close(new[f"transformer.h.{i}.mlp.c_proj.weight"].T, made_down)
        bias = leaf(f"out/h.mlp.c_proj.{i}") @ blend("mlp.c_proj.bias") + leaf(f"add/h.mlp.c_proj.bias.{i}")
        torch.testing.assert_close(new[f"transformer.h.{i}.mlp.c_proj.bias"], bias)
        fused = blend("attn.c_attn.weight").T
        parts = [leaf(f"out/h.attn.c_attn/{p}.{i}") @ fused[p * 48 : p * 48 + 48] for p in range(3)]
        qkv = torch.cat(parts) @ leaf(f"in/h.attn.c_attn.{i}").T + leaf(f"add/h.attn.c_attn.weight.{i}").T
        torch.testing.assert_close(new[f"transformer.h.{i}.attn.c_attn.weight"].T, qkv)
    norm = leaf("add/ln_f.weight") + static(made)["transformer.ln_f.weight"]
    before = begun(made)[f"{step.id}/add/ln_f.weight"]
    assert not before.any()  # a norm is all static at first
    torch.testing.assert_close(new["transformer.ln_f.weight"], norm)


@pytest.mark.parametrize(
    ("family", "growth", "config"),
    [
        ("gpt2", "hidden 48→96, ffn 192→200", ()),
        ("bert", "hidden 48→96, ffn 80→160", MASKED),
        ("llama", "hidden 48→96, heads 6→12, ffn 80→100, kv_heads 3→6", TIED[1:]),
    ],
)
def test_copies_need_no_residual(family: str, growth: str, config: tuple[tuple[str, Any], ...]) -> None:
    """fpi's function by products alone, the shares of copies uneven, so that they can move apart."""
    line = f"grow {growth} via ligo on c.txt, init fpi, residual none"
    made = case(family, line, dtype="float64", config=config)
    (step,) = made.typed.steps
    assert verify(made.graph) == []
    leaves = begun(made)
    assert not any("/add/" in name for name in leaves if leaves[name].ndim > 1)
    found = model_after(made, made.graph, 1, leaves)
    first = logits(made, step.before, model_after(made, made.graph, 0))
    assert float((logits(made, step.after, found) - first).abs().max()) < 1e-10 * float(first.std())
    read = leaves[next(name for name in leaves if name.startswith(f"{step.id}/in/"))]
    assert torch.allclose(read.sum(0), torch.ones(read.shape[1], dtype=torch.float64))
    shares = read[read != 0]
    assert 0.1 < float(shares.min()) < 0.45 and len(shares.unique()) > len(shares) / 2


TEXT = Path(__file__).parents[2] / "plans" / "data" / "austen.txt"


GROWTH = "hidden 48→64, heads 6→8, ffn 192→224, depth 2→3"


def plan_of(folder: Path, options: str, steps: int = 8, growth: str = GROWTH) -> Any:
    folder.mkdir(exist_ok=True)
    tiny_checkpoint("gpt2", folder / "m", vocab_size=256, bos_token_id=0, eos_token_id=0, dtype="float64")
    (folder / "austen.txt").write_bytes(TEXT.read_bytes())
    line = f"grow {growth} via ligo on austen.txt for {steps} steps, {options}"
    text = f"source ./m\ntarget ./g\nseed 3\n{line}"
    return parse_text(text, str(folder / "p.grow"), "dsl").read_from(str(folder / "p.grow"))


def fitted(folder: Path, options: str) -> Any:
    return apply(plan_of(folder, options, growth=GROWTH.removesuffix(", depth 2→3")))


def test_a_rate_of_nothing_keeps_the_function(tmp_path: Path) -> None:
    """fpi's start, fitted at rate 0: the written checkpoint is the source's function."""
    from transformers import GPT2LMHeadModel

    result = fitted(tmp_path, "init fpi, lr 0, batch 2, tokens 16")
    assert result.fitted[0].before == result.fitted[0].after
    ids = torch.randint(0, 256, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        old, new = (
            GPT2LMHeadModel.from_pretrained(tmp_path / d, dtype=torch.float64).eval()(ids).logits
            for d in ("m", "g")
        )
    assert float((old - new).abs().max()) < 1e-10 * float(old.std())


def test_a_fit_goes_below_the_static_start(tmp_path: Path) -> None:
    result = fitted(tmp_path, "init lemon, lr 0.01, batch 4, warmup 2, tokens 24")
    (record,) = result.fitted
    assert record.after < record.before - 0.3 and not result.findings
    assert record.parameters == result.typed.steps[0].fit_cost.parameters


def test_a_second_fit_begins_where_the_first_ended(tmp_path: Path) -> None:
    """The static steps of a later learned step read the model before it, leaves and all."""
    steps = "lr 0.01, batch 2, tokens 16, warmup 1, init fpi"
    line = f"{steps}\ngrow ffn 224→240 via ligo on austen.txt for 2 steps, {steps}"
    first, second = fitted(tmp_path, line).fitted
    assert second.before == pytest.approx(first.after, rel=1e-12)


class Stopped(Exception):
    """A fit that is stopped on its way."""


def test_a_stopped_fit_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def stop(event: Any) -> None:
        if event.kind == "learn" and event.done == 21:
            raise Stopped

    options = "init lemon, lr 0.01, batch 2, tokens 16"
    apply(plan_of(tmp_path / "whole", options, 24))
    with pytest.raises(Stopped):
        apply(plan_of(tmp_path / "stopped", options, 24), progress=stop)
    apply(plan_of(tmp_path / "stopped", options, 24), resume=True)
    for name in ("model.safetensors", "config.json", OPERATOR):
        whole, stopped = (tmp_path / run / "g" / name for run in ("whole", "stopped"))
        assert whole.read_bytes() == stopped.read_bytes()


def test_block_by_block_is_the_same_fit(tmp_path: Path) -> None:
    options, results = "init fpi, lr 0.01, batch 2, tokens 16, warmup 1", []
    for name in ("none", "blocks"):
        results.append(apply(plan_of(tmp_path / name, f"{options}, checkpoint {name}", 3)).fitted[0])
    first, second = results
    assert second.after == pytest.approx(first.after, rel=1e-12) and second.before == first.before
