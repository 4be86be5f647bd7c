"""Comments and blank lines: which part of a plan each belongs to, and printing them with it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from growplan.diagnostics import Source


@dataclass(frozen=True)
class Comment:
    """`# ...` at a place of the source."""

    start: int
    text: str


@dataclass
class Piece:
    """Lines of output that stand for a range of the source.

    `before` are the comments above it (an empty string is a blank line), `after` the one behind its
    last line, `below` those that end the block it is the last of. A piece without lines hands its comments
    to the next.
    """

    start: int
    end: int
    lines: list[str]
    indent: str = ""
    before: list[str] = field(default_factory=list)
    after: str = ""
    below: list[str] = field(default_factory=list)
    apart: bool = False  # with a blank line above its comments
    rank: tuple[int, ...] = ()  # where it is printed among the others; those of one rank as written


def attach(source: Source, pieces: Sequence[Piece], comments: Sequence[Comment]) -> list[str]:
    """Give every comment to a piece: behind it if it stands on its last line, else above it or the
    next one; or below the one before, where it is indented as that is and the next one is not. Pieces come
    in the order of the source. Returns what is left below the last one."""
    footer: list[str] = []
    last_line = 0
    places = sorted(
        [(p.start, 1, p) for p in pieces] + [(c.start, 0, c) for c in comments], key=lambda x: x[:2]
    )
    for start, _, item in places:
        line = source.position(start)[0]
        if isinstance(item, Piece):
            if line > last_line + 1 and last_line:
                item.before.append("")
            last_line = max(last_line, source.position(max(item.end - 1, item.start))[0])
            continue
        host, behind = _host(source, pieces, item, line)
        if behind and host:
            host.after = item.text
        else:
            above = host.before if host else footer
            if not any(above) and (ended := _ended_by(source, pieces, item, host)):
                above = ended.below
            if line > last_line + 1 and last_line:
                above.append("")
            above.append(item.text)
        last_line = max(last_line, line)
    return footer


def _host(source: Source, pieces: Sequence[Piece], comment: Comment, line: int) -> tuple[Piece | None, bool]:
    """The piece that a comment goes to, and whether it stands behind it."""
    following = bisect_right(pieces, comment.start, key=lambda p: p.start)
    if following:
        piece = pieces[following - 1]
        last = source.position(max(piece.end - 1, piece.start))[0]
        if line <= last:
            return piece, line == last and comment.start >= piece.end
    return (pieces[following] if following < len(pieces) else None), False


def _ended_by(source: Source, pieces: Sequence[Piece], comment: Comment, host: Piece | None) -> Piece | None:
    """The piece whose block a comment ends, with `host` the one that follows."""
    following = bisect_right(pieces, comment.start, key=lambda p: p.start)
    if not following or not pieces[following - 1].lines or host is pieces[following - 1]:
        return None
    piece = pieces[following - 1]
    inner, own = _before(source, piece.start), _before(source, comment.start)
    outer = "" if host is None else _before(source, host.start)
    ends = _blanks(outer) < _blanks(inner) <= _blanks(own)
    return piece if ends and not inner.strip("- ") and not own.strip() else None


def _before(source: Source, at: int) -> str:
    """What stands before a place in its line."""
    return source.text[source.text.rfind("\n", 0, at) + 1 : at]


def _blanks(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def settle(pieces: Sequence[Piece], footer: list[str]) -> None:
    """Where a piece will be printed above others that stand before it: what of its comments stays.

    What touches the line above it, with a blank line below, is about that line. The comments that open
    the file, up to their last blank line, are about the whole of it.
    """
    highest: tuple[int, ...] = ()
    for i, piece in enumerate(pieces):
        if piece.rank < highest:
            _leave(piece, pieces[i + 1].before if i + 1 < len(pieces) else footer)
        highest = max(highest, piece.rank)
    first = min(pieces, key=lambda piece: piece.rank, default=None)
    if first is not None and first is not pieces[0] and "" in pieces[0].before:
        opening = pieces[0].before
        cut = last_blank(opening)
        first.before, pieces[0].before = [*opening[:cut], "", *first.before], opening[cut:]


def _leave(piece: Piece, to: list[str]) -> None:
    """Take the blank line above a piece away, or what touches the line above it: `to` gets that."""
    cut = piece.before.index("") if "" in piece.before else 0
    if cut:
        to[:0] = [*piece.before[:cut], *([""] if to[:1] != [""] else [])]
    if "" in piece.before:
        piece.before = piece.before[cut + 1 :]


def last_blank(lines: Sequence[str]) -> int:
    """Where the last blank line stands; 0 where there is none."""
    return max((i for i, line in enumerate(lines) if not line), default=0)


def render(pieces: Sequence[Piece], footer: Sequence[str]) -> str:
    """The text of all pieces with their comments, in the order of their ranks.

    Never two blank lines together.
    """
    lines: list[str] = []
    carried: list[str] = []
    for piece in sorted(pieces, key=lambda piece: piece.rank):
        above = carried + piece.before
        above = [""] * (piece.apart and "" not in above) + above
        carried = []
        if not piece.lines:
            carried = above + ([piece.after] if piece.after else [])
            continue
        lines += [piece.indent + text if text else "" for text in above]
        lines += [piece.indent + line for line in piece.lines]
        if piece.after:
            lines[-1] += f"  {piece.after}"
        last = piece.indent + " " * _blanks(piece.lines[-1])  # a block that grew out of one line
        lines += [last + text if text else "" for text in piece.below]
    lines += [*carried, *footer]
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    return "\n".join(kept).strip("\n") + "\n" if kept else ""
