"""Curves as an SVG, with nothing but the standard library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 16, 40
COLOURS = ("#888888", "#0b6fb8", "#d1495b", "#3a8f3a", "#a05cb5")
STYLE = "font-family='sans-serif' font-size='12' fill='#444444'"


def picture(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Named curves of (steps, loss), one colour each, its name at its end."""
    points = [point for curve in curves.values() for point in curve]
    last = max(max(x for x, _ in points), 1)
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = high - low or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / last * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - y) / span * (HEIGHT - TOP - BOTTOM)

    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
    ]
    for part in range(5):
        x, y = part / 4 * last, low + part / 4 * span
        across, down = place(x, y)
        lines.append(f"<path d='M{LEFT} {down:.1f}H{WIDTH - RIGHT}' stroke='#e4e4e4'/>")
        lines.append(_text(LEFT - 8, down + 4, f"{y:.2f}", "end"))
        lines.append(_text(across, HEIGHT - BOTTOM + 18, f"{x:.0f}", "middle"))
    lines.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "steps of training", "middle"))
    ends = _apart([place(*curve[-1])[1] for curve in curves.values()])
    for (name, curve), end, colour in zip(curves.items(), ends, COLOURS, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        lines.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        lines.append(_text(WIDTH - RIGHT + 8, end + 4, name, "start", colour))
    return "\n".join([*lines, "</svg>\n"])


def _text(x: float, y: float, words: str, anchor: str, colour: str | None = None) -> str:
    style = STYLE if colour is None else STYLE.replace("#444444", colour)
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {style}>{words}</text>"


def _apart(heights: Sequence[float], least: float = 15) -> list[float]:
    """The heights moved down until names do not overlap, in the given order."""
    out = list(heights)
    order = sorted(range(len(out)), key=out.__getitem__)
    for above, below in pairwise(order):
        out[below] = max(out[below], out[above] + least)
    return out
