"""Which layers of the grown model are new: what MSLT trains first (arXiv 2011.13635)."""

from __future__ import annotations

from growplan.check.typed import TypedPlan


def new_layers(typed: TypedPlan) -> tuple[int, ...]:
    """The layers that a plan adds, bottom first: second copies, silent and drawn ones."""
    old = set(range(typed.source.depth))  # layers of the model so far that the source has
    for step in typed.steps:
        if not step.layers:
            continue
        seen: set[int] = set()
        kept = set()
        for i, source in enumerate(step.layers):
            made = source.silent or source.fresh or source.predicted is not None
            own = not made and source.layer not in seen
            if own:
                seen.add(source.layer)
                if source.layer in old:
                    kept.add(i)
        old = kept
    return tuple(i for i in range(typed.target.depth) if i not in old)
