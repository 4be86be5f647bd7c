"""Slices that were filled from a leaf, held against the leaf's own values, bit for bit.

Any value of such a slice preserves the function, so no law sees a fault here.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from growplan.backend.dtypes import arithmetic
from growplan.backend.evaluate import LEAF, Evaluation
from growplan.ir.graph import Graph, Step
from growplan.ir.primitives import FromLeaf, Leaf


def misfilled(graph: Graph, step: Step, evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """(tensor, leaf) of every slice of the step that does not hold its leaf."""
    for tensor, value in graph.models[step.index].items():
        node = graph.nodes[value]
        while node.step == step.index and node.inputs:
            leaf = graph.nodes[node.inputs[1]].op if isinstance(node.op, FromLeaf) else None
            if isinstance(node.op, FromLeaf) and isinstance(leaf, Leaf):
                at = [i for start, stop in node.op.at for i in range(start, stop)]
                found = evaluation.whole(node.id)
                index = torch.tensor(at, device=found.device)
                wanted = evaluation.read(LEAF + leaf.leaf, 0, leaf.shape[0]).to(
                    found.device, arithmetic(leaf.dtype)
                )
                if not torch.equal(found.index_select(node.op.dim, index), wanted):
                    yield tensor, leaf.leaf
            node = graph.nodes[node.inputs[0]]
