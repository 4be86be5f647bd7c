"""Aligned columns and wrapped paragraphs of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from growplan.views.style import width

LINE = 100  # columns that a report may take


def columns(rows: Sequence[Sequence[str]], align: str = "", gap: int = 2, indent: int = 0) -> list[str]:
    """Rows as lines; `align` has `<` or `>` for each column (`<` where it is short).

    >>> columns([("a", "1"), ("long", "20")], "<>")
    ['a      1', 'long  20']
    """
    if not rows:
        return []
    count = max(map(len, rows))
    widths = [max((width(row[k]) for row in rows if k < len(row)), default=0) for k in range(count)]
    lines = []
    for row in rows:
        cells = []
        for k, cell in enumerate(row):
            pad = " " * (widths[k] - width(cell))
            cells.append(pad + cell if align[k : k + 1] == ">" else cell + pad)
        lines.append((" " * indent + (" " * gap).join(cells)).rstrip())
    return lines


def wrapped(text: str, indent: int = 0, hang: int | None = None, columns: int = LINE) -> list[str]:
    """A paragraph in lines of at most `columns`; later lines start at column `hang`."""
    from textwrap import wrap

    rest = " " * (indent if hang is None else hang)
    return wrap(
        text,
        columns,
        initial_indent=" " * indent,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def labelled(pairs: Iterable[tuple[str, str]], indent: int = 0, label_width: int = 0) -> list[str]:
    """`label  text` lines, the texts aligned and wrapped; repeated labels are left out."""
    pairs = list(pairs)
    reach = max([label_width, *(len(label) for label, _ in pairs)])
    hang = indent + reach + 2
    lines: list[str] = []
    previous = None
    for label, text in pairs:
        shown = "" if label == previous else label
        body = wrapped(text, hang, hang) or [" " * hang]
        lines.append((" " * indent + f"{shown:<{reach}}  " + body[0].strip()).rstrip())
        lines += body[1:]
        previous = label
    return lines
