"""What holds of every schedule: stages chain, and costs stand in the relations that they must."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from growplan.check import check_plan
from growplan.check.cost import cost
from growplan.check.stages import check_stages
from growplan.language.plan import Plan, Stage, Train
from tests.check.models import model
from tests.check.test_stages import DATA, SMALL, steps

GROWTHS = (
    "",
    "widen ffn x2",
    "widen hidden x2",
    "widen heads x2; widen hidden x2",
    "stack depth x2 via gstack",
    "stack depth x2 via mslt",
    "mask-in ffn x2 over 2 steps",
    "mask-in depth x2 over 3 steps",
    "mask-in hidden x2 over 2 steps; mask-in heads x2 over 2 steps, delay 1",
)
WORDS = ("all", "embeddings", "head", "top 1", "top 2", "layers 0:1", "*.attn.*", "*.mlp.*", "*.ln_1.*")


@st.composite
def stages(draw: st.DrawFn) -> tuple[Stage, ...]:
    found = []
    for index in range(draw(st.integers(1, 4))):
        growth = draw(st.sampled_from(GROWTHS))
        words = tuple(draw(st.lists(st.sampled_from(WORDS), max_size=3, unique=True)))
        options = {
            "sub-models": draw(st.sampled_from((0, 1, 2))),
            "tied": draw(st.sampled_from(("train", "freeze"))),
        }
        train = Train(steps=draw(st.integers(3, 9)), options=options)
        ids = steps(growth, f"s{index}-") if growth else ()
        found.append(Stage(name=f"stage{index}", steps=ids, train=train, train_only=words))
    return tuple(found)


@given(stages())
@settings(max_examples=60)
def test_stages_chain_and_costs_add_up(found: tuple[Stage, ...]) -> None:
    source = model("gpt2", **SMALL)
    schedule = check_stages(Plan(train=DATA, stages=found), source)
    before = source
    for each in schedule.stages:
        assert dict(each.before.sizes) == dict(before.sizes) and not each.after.twins
        before, whole, costs = each.after, cost(each.after), each.cost
        assert 0 < costs.trained <= whole.parameters
        assert 0 <= costs.backward <= 2 * costs.forward <= 2 * whole.flops_per_token
        if not (each.training and each.training.sub_models):
            assert costs.forward == whole.flops_per_token
            everything = not each.stage.train_only or "all" in each.stage.train_only
            assert not everything or (costs.trained, costs.backward) == (whole.parameters, 2 * costs.forward)
    assert schedule.flops == sum(each.cost.flops for each in schedule.stages) <= schedule.scratch
    assert schedule.tokens == sum(32 * each.train.steps for each in found if each.train and each.train.steps)


PLAIN = tuple(growth for growth in GROWTHS[1:6] if growth != "widen hidden x2")  # nothing is implied


@given(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3))
@settings(max_examples=25)
def test_stages_without_training_come_to_the_sizes_of_one_growth(growths: list[str]) -> None:
    source = model("gpt2", **SMALL)
    made = [steps(growth, f"s{i}-") for i, growth in enumerate(growths)]
    parts = tuple(Stage(name=f"stage{i}", steps=each) for i, each in enumerate(made))
    staged = check_stages(Plan(stages=parts), source)
    whole = check_plan(Plan(steps=tuple(step for each in made for step in each)), source)
    assert dict(staged.target.sizes) == dict(whole.target.sizes)
    assert staged.cost_after == whole.cost_after and staged.flops == 0
