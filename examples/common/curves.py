"""Curves as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SIZE, DOTS = (9.0, 5.2), 130  # inches, and dots of each


@dataclass(frozen=True)
class Curve:
    """Points (x, y), and those at which the model grew, each with a word for it."""

    points: Sequence[tuple[float, float]]
    growths: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def draw(path: Path, curves: Mapping[str, Curve], across: str, up: str, top: float | None = None) -> None:
    """Write the curves by name. `top`: no higher than this, where the first losses would flatten the rest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    for name, curve in curves.items():
        (line,) = axes.plot(*zip(*curve.points, strict=True), label=name, linewidth=1.8)
        for word, (x, y) in curve.growths.items():
            axes.plot(x, y, "o", color=line.get_color(), markersize=6)
            axes.annotate(
                word,
                (x, y),
                xytext=(4, 7),
                textcoords="offset points",
                fontsize=8.5,
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
