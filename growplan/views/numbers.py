"""Numbers as people read them: 22.7M, 90.9 MB, ×2.95."""

from __future__ import annotations

_SCALES = (
    (10**21, "Z"),
    (10**18, "E"),
    (10**15, "P"),
    (10**12, "T"),
    (10**9, "G"),
    (10**6, "M"),
    (10**3, "k"),
)


def count(value: int) -> str:
    """Three significant digits with a decimal prefix; billions of parameters are `B`.

    >>> count(22713216), count(70553706496), count(384)
    ('22.7M', '70.6B', '384')
    """
    return _scaled(value, giga="B")


def flops(value: int) -> str:
    """
    >>> flops(21300000), flops(141000000000)
    ('21.3M', '141G')
    """
    return _scaled(value, giga="G")


def size(value: int) -> str:
    """
    >>> size(90872064), size(512)
    ('90.9 MB', '512 B')
    """
    for scale, name in _SCALES:
        if value >= scale:
            return f"{_digits(value / scale)} {name}B"
    return f"{value} B"


def ratio(before: int, after: int) -> str:
    """
    >>> ratio(22713216, 66900000), ratio(7, 7), ratio(0, 7)
    ('×2.95', '=', '')
    """
    if before == after:
        return "="
    if not before:
        return ""
    quotient = after / before
    if _digits(quotient) == "1.00":
        change = 100 * (quotient - 1)
        return f"{'+' if change > 0 else '−'}{abs(change):.1g}%"
    return f"×{_digits(quotient)}"


def seconds(value: float) -> str:
    """
    >>> seconds(0.0123), seconds(4.2), seconds(185)
    ('12 ms', '4.2 s', '3 min 5 s')
    """
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def plural(number: int, word: str) -> str:
    """
    >>> plural(1, "step"), plural(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {word}" + ("" if number == 1 else "s")


def _digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _scaled(value: int, giga: str) -> str:
    for scale, name in _SCALES:
        if value >= scale:
            return _digits(value / scale) + (giga if name == "G" else name)
    return str(value)
