"""Curves as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

SIZE, DOTS = (9.0, 5.2), 130  # inches, and dots of each


@dataclass(frozen=True)
class Growth:
    """Where a model grew: at `x`, from the loss `before` to the loss `after`."""

    name: str
    x: float
    before: float
    after: float


@dataclass(frozen=True)
class Curve:
    """Points (x, y), and the growths on the way."""

    points: Sequence[tuple[float, float]]
    growths: Sequence[Growth] = ()


def draw(path: Path, curves: Mapping[str, Curve], across: str, up: str, top: float | None = None) -> None:
    """Write the curves by name. `top`: no higher than this, where the first losses would flatten the rest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    for below, (name, curve) in zip(cycle((True, False)), curves.items(), strict=False):
        (line,) = axes.plot(*zip(*curve.points, strict=True), label=name, linewidth=1.8)
        for growth in curve.growths:
            heights = growth.before, growth.after
            axes.plot((growth.x, growth.x), heights, "o-", color=line.get_color(), markersize=5, linewidth=1)
            axes.annotate(
                growth.name,
                (growth.x, min(heights) if below else max(heights)),
                xytext=(4, -13) if below else (4, 6),
                textcoords="offset points",
                fontsize=9,
                color=line.get_color(),
            )
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_xlim(left=0)
    if top is not None:
        axes.set_ylim(top=top)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=DOTS)
    pyplot.close(figure)
