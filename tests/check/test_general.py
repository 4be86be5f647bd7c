"""General operators, checked: what they begin as, how many numbers they have, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.check.cost import cost
from growplan.check.general import GeneralLayout
from growplan.check.start import start_names
from growplan.check.typed import OperatorCost, TypedStep
from growplan.diagnostics import DiagnosticError
from growplan.methods import get_method
from growplan.views.check import step_data
from growplan.views.show.table import leaf_rows
from tests.check.models import check

SMALL_BERT: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "intermediate_size": 2048,
    "tie_word_embeddings": False,
}
PAIR = "grow hidden 512→1024, heads 8→16, ffn 2048→4096, depth 6→12 via ligo on c.txt"
TOY: dict[str, Any] = {"n_embd": 64, "n_head": 4, "n_layer": 2, "vocab_size": 256, "n_positions": 64}
LLAMA: dict[str, Any] = {"num_hidden_layers": 2, "vocab_size": 64, "intermediate_size": 64}


def only(family: str, line: str, **config: Any) -> TypedStep:
    (step,) = check(family, line, **config).steps
    return step


def measured(step: TypedStep) -> OperatorCost:
    assert step.fit_cost is not None
    return step.fit_cost


def refused(family: str, line: str, **config: Any) -> tuple[str, str]:
    with pytest.raises(DiagnosticError) as error:
        check(family, line, **config)
    (d,) = error.value.diagnostics
    assert d.help
    return d.code, f"{d.message}; {', '.join(d.help)}"


# sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tying", "layers"), [("shared", 1), ("layer", 12)])
def test_the_count_of_a_pair(tying: str, layers: int) -> None:
    """BERT, untied: ends of q, k, v, o, up and down in layers; of tables, transform and decoder outside."""
    d, f = 1024 * 512, 4096 * 2048
    step = only("bert", f"{PAIR}, init bert2bert, tying {tying}", **SMALL_BERT)
    found = dict(measured(step).parts)
    inner = 4 * 2 * d + (d + f) + (f + d)  # out and in of q, k, v, o; of up; of down
    assert found["width"] == 3 * d + 2 * d + d + layers * inner
    assert found["depth"] == 12 * 6
    norms = 12 * 2 * 2 * 1024 + 2 * 2 * 1024  # two in each layer, one of embeddings, one of the head
    assert found["norms"] == norms
    kept = 2 * step.after.sizes["vocab"]  # the biases of the head and of its decoder
    assert found["residuals"] == cost(step.after).parameters - norms - kept
    leaves = sum(_product(leaf.shape) for leaf in step.leaves)
    assert leaves == measured(step).parameters == sum(found.values())


def test_without_a_residual() -> None:
    """Products and norms alone; copies need nothing else."""
    step = only("gpt2", "grow ffn 256→512, depth 2→4 via ligo on c.txt, init bert2bert, residual none", **TOY)
    found = dict(measured(step).parts)
    assert found == {"width": 2 * 512 * 256, "depth": 8, "norms": 4 * 2 * 2 * 64}
    assert not any("/add/h.mlp" in leaf.name for leaf in step.leaves)


def test_what_the_fit_costs() -> None:
    """FLOPs of making weights, by hand for one ffn: up, its bias, down, and what is added to each."""
    step = only("gpt2", "grow ffn 256→320 via ligo on c.txt for 7 steps, init fpi, batch 3, tokens 5", **TOY)
    made = 2 * (2 * 320 * 256 * (64 + 1 + 64) + 320 * (64 + 1 + 64))  # two layers
    target = cost(step.after)
    assert measured(step).flops == 7 * 3 * (target.flops_per_token * 15 + made)
    assert measured(step).materialise == pytest.approx(3 * made / (measured(step).flops / 7))


def test_a_blend_costs_all_old_layers() -> None:
    step = only("gpt2", "grow depth 2→3 via ligo on c.txt, init identity", **TOY)
    assert step.operator is not None
    numbers = 64 * 192 + 192 + 64 * 64 + 64 + 2 * 64 * 256 + 256 + 64
    made = 3 * (numbers * (2 * 2 + 1) + 4 * 64)  # the norms' leaves are added alone
    assert GeneralLayout(step.before, step.after, step.operator).materialise == made


def _product(shape: tuple[int, ...]) -> int:
    out = 1
    for n in shape:
        out *= n
    return out


# what it begins as ---------------------------------------------------------------------------------


def test_the_start_is_typed() -> None:
    step = only("gpt2", "grow hidden 64→96, depth 2→5 via ligo on c.txt, init fpi", **TOY)
    assert step.operator is not None
    assert (step.operator.kind, step.operator.start, step.operator.depth_init) == (
        "general",
        "fpi",
        "stackbert",
    )
    width, depth = step.start
    assert (width.text, width.candidate) == ("grow hidden 64→96, heads 4→6 via fpi", "mean rows")
    assert [source.layer for source in depth.layers] == [0, 1, 0, 1, 0]
    assert str(step.proof.claim) == "none"
    assert "begins as `grow hidden 64→96, heads 4→6 via fpi` (mean rows): exact, which the fit moves" in (
        step.proof.reasons
    )
    assert step.after.sizes == depth.after.sizes and step.after.config == depth.after.config


def test_layers_are_the_methods_where_it_adds_some() -> None:
    step = only("gpt2", "grow ffn 256→300, depth 2→4 via ligo on c.txt, init lemon", **TOY)
    assert [source.silent for source in step.start[1].layers] == [False, True, False, True]
    laced = only("gpt2", "grow depth 2→4 via ligo on c.txt, init fpi, depth-init interlace", **TOY)
    assert [source.layer for source in laced.start[0].layers] == [0, 0, 1, 1]


def test_eps_and_theta_are_the_static_steps() -> None:
    """Not learned: they are the numbers that fpi would write."""
    step = only("smollm", "grow hidden 576→960 via ligo on c.txt, init fpi, tying shared", **LLAMA)
    (start,) = step.start
    assert step.after.config["rms_norm_eps"] == start.after.config["rms_norm_eps"]
    assert step.after.config["rms_norm_eps"] != step.before.config["rms_norm_eps"]


def test_heads_stay_whole_where_they_are_rotary() -> None:
    step = only("smollm", "grow hidden 576→768, kv_heads 3→4 via ligo on c.txt, init fpi", **LLAMA)
    assert step.operator is not None and step.operator.mix == "heads"
    shapes = {leaf.name.removeprefix(f"{step.id}/"): leaf.shape for leaf in step.leaves}
    q = next(shape for name, shape in shapes.items() if name.startswith("out/") and "q_proj" in name)
    assert q == (12, 9)


def test_the_static_methods_that_start_one() -> None:
    names = start_names()
    assert {"fpi", "lemon", "aki", "net2net", "msg", "staged", "stackbert", "identity"} <= set(names)
    for name in ("ligo", "gradmax", "lesa", "resample"):
        assert name not in names
    for name in names:
        method = get_method(name)
        assert method is not None and not method.learned


def test_the_table_folds_the_leaves_of_layers() -> None:
    typed = check("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt, init fpi, tying layer", **TOY)
    (step,) = typed.steps
    listed = list(leaf_rows(typed))
    assert (f"{step.id}/out/h.attn.c_attn/0.{{0:4}}", "128 × 64", "fpi", f"{4 * 128 * 64:,}") in listed
    assert (f"{step.id}/add/h.mlp.c_fc.weight.{{0:4}}", "128 × 256", "fpi", f"{4 * 128 * 256:,}") in listed
    assert len(listed) < 40
    assert sum(int(row[3].replace(",", "")) for row in listed) == measured(step).parameters


def test_json_has_the_start() -> None:
    step = only("gpt2", "grow hidden 64→128 via ligo on c.txt, init fpi", **TOY)
    operator = step_data(step)["operator"]
    assert (operator["kind"], operator["start"], operator["residual"]) == ("general", "fpi", True)
    assert operator["cost"]["parts"]["norms"] == 2 * 128 * 5


def lints(line: str, **config: Any) -> dict[str, tuple[str, ...]]:
    return {d.code: d.help for d in check("gpt2", line, **config).lints}


def test_an_operator_that_outweighs_the_model_is_told_with_ways_that_work() -> None:
    """Every way that is named is tried: under it there is no such warning."""
    line = "grow hidden 64→128, ffn 256→512, depth 2→4 via ligo on c.txt, init fpi, tying layer"
    ways = lints(line, **TOY)["GP920"]
    assert [way.partition(":")[0] for way in ways] == [
        "`tying shared, residual none`",
        "take `init fpi` out",
    ]
    assert "GP920" not in lints(line.replace("tying layer", "tying shared, residual none"), **TOY)
    assert "GP920" not in lints(line.replace("init fpi, tying layer", "tying shared"), **TOY)
    fresh = lints("grow hidden 64→96 via ligo on c.txt, init fpi", **TOY)["GP920"]
    assert [way.partition(":")[0] for way in fresh] == ["take `init fpi` out"]


def test_copies_that_begin_equal_are_told() -> None:
    """They get equal gradients from the operator too."""
    found = lints("grow ffn 256→512 via ligo on c.txt, init net2net", **TOY)
    assert found["GP901"] == ("`init fpi`, whose copies differ",)
    plain = lints("grow ffn 256→512 via ligo on c.txt, init net2net, residual none", **TOY)
    assert plain["GP901"] == ("`init fpi` without `residual none`, whose copies differ",)
    assert "GP901" not in lints("grow ffn 256→512 via ligo on c.txt, init fpi", **TOY)


# what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fpx", "ligo", "gradmax", "lesa", "resample", "upcycle"])
def test_no_such_start(name: str) -> None:
    code, message = refused("gpt2", f"grow ffn 256→300 via ligo on c.txt, init {name}", **TOY)
    assert code == "GP540" and f"`{name}`" in message and "fpi" in message


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("init fpi, width-init sel", "width-init"),
        ("init fpi, order width-first", "order"),
        ("init fpi, noise 0.1", "noise"),
        ("init fpi, depth-init rand", "depth-init"),
        ("init lemon, depth-init interlace", "depth-init"),
        ("residual none", "residual"),
    ],
)
def test_options_that_say_nothing_together(options: str, part: str) -> None:
    code, message = refused("gpt2", f"grow ffn 256→300, depth 2→4 via ligo on c.txt, {options}", **TOY)
    assert code == "GP541" and part in message


def test_a_start_that_does_not_type_names_those_that_do() -> None:
    line = "grow hidden 384→576 via ligo on c.txt, init {}"
    code, message = refused("bert", line.format("fpi"))
    assert code == "GP542" and "`init bert2bert`" in message
    assert only("bert", line.format("bert2bert")).start
    code, message = refused("bert", line.format("msg"))
    assert code == "GP542" and "behind attached masks alone" in message and "`init bert2bert`" in message
    code, message = refused("gpt2", "grow depth 2→5 via ligo on c.txt, init stackbert", **TOY)
    assert code == "GP542" and "`init fpi`" in message and "msg" not in message
    line = "grow hidden 384→576, depth 6→9 via ligo on c.txt, init fpi"
    assert refused("bert", line)[1].endswith("; `init bert2bert`, `init aki`")  # lemon fits no such width


def test_equal_sizes_have_nothing_to_learn() -> None:
    step = only("gpt2", "grow hidden 64→64 via ligo on c.txt, init fpi", **TOY)
    assert (step.leaves, step.start, step.after.config) == ((), (), step.before.config)


@pytest.mark.parametrize("tying", ["layer", "shared"])
@pytest.mark.parametrize(
    ("family", "grow"),
    [
        ("gpt2", "hidden 768→1024, depth 12→14"),
        ("bert", "ffn 1536→2000, depth 6→7"),
        ("vit", "hidden 768→1024"),
        ("smollm", "hidden 576→960, depth 30→31"),
        ("mixtral", "hidden 576→960, ffn 1536→1600, depth 30→31"),
    ],
)
def test_leaves_are_what_is_counted(family: str, grow: str, tying: str) -> None:
    step = only(family, f"grow {grow} via ligo on c.txt, init fpi, tying {tying}")
    assert sum(_product(leaf.shape) for leaf in step.leaves) == measured(step).parameters
    assert len({leaf.name for leaf in step.leaves}) == len({leaf.key for leaf in step.leaves})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("grow hidden 576→960 via ligo on c.txt, init fpi", "fresh units"),
        ("grow ffn 64→96, depth 2→3 via ligo on c.txt, init lemon", "inserted blocks"),
        ("grow ffn 64→96 via ligo on c.txt, init aki", "units of the layer above"),
        ("grow ffn 64→96 via ligo on c.txt, init msg", "fresh units"),
    ],
)
def test_no_product_gives_them(line: str, what: str) -> None:
    code, message = refused("smollm", f"{line}, residual none", **LLAMA)
    assert code == "GP543" and what in message
    assert only("smollm", line, **LLAMA).start


def test_it_promises_nothing() -> None:
    line = "grow ffn 256→300 via ligo on c.txt, init fpi, expect exact"
    assert refused("gpt2", line, **TOY)[0] == "GP204"
