"""Before the passes: all steps as one, from the source to what is stored."""

from __future__ import annotations

from dataclasses import replace

from growplan.ir.graph import Graph, SetConfig, Step

STRENGTHS = ("none", "approximate", "exact")


def as_one_step(graph: Graph) -> Graph:
    """The same values and stores with one step: its config edits and sizes are the last ones.

    before:   models m0, m1, …, mN   laws per step
    after:    models m0, mN          no laws: they speak of models that are gone
    """
    if not graph.steps:
        return graph
    nodes = {id: node if node.step < 2 else replace(node, step=1) for id, node in graph.nodes.items()}
    models = [graph.models[0], graph.models[-1]]
    return Graph(nodes, models, [_joined(graph.steps)], dict(graph.stores))


def _joined(steps: list[Step]) -> Step:
    config = {edit.key: edit for step in steps for edit in step.config}
    return Step(
        index=1,
        id="all" if len(steps) > 1 else steps[0].id,
        text="; ".join(step.text for step in steps),
        claim=min((step.claim for step in steps), key=_strength),
        origin=steps[0].origin,
        config=tuple(SetConfig(key, config[key].value) for key in sorted(config)),
        sizes=steps[-1].sizes,
    )


def _strength(claim: str) -> tuple[int, int]:
    """Weaker claims first; of equals, the one with more conditions."""
    word = claim.split()[0] if claim else "none"
    return (STRENGTHS.index(word) if word in STRENGTHS else 0, -len(claim))
