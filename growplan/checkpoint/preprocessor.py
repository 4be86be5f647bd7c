"""preprocessor_config.json: the size that images are brought to before the model reads them.

It repeats the config's image_size, and follows it. What is resized before a centre crop keeps its
ratio to the crop: 256 for a crop of 224 becomes 438 for one of 384.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.strictjson import Codes, Document, read_json
from growplan.diagnostics import fail

PREPROCESSOR = "preprocessor_config.json"
_HELP = "correct it, or take it out and save the processor again with transformers"
_CODES = Codes(syntax="GP442", duplicate="GP442", help=_HELP)
_SIDES = ("height", "width", "shortest_edge")


def follow_image(path: Path, image: tuple[int, int]) -> tuple[str, tuple[str, ...]] | None:
    """(new text, changes) of a preprocessor config for another image size; None where none moves.

    Raises GP442 for a file that is no JSON object, or sizes that are not those of the model.
    """
    document = read_json(path, _CODES)
    data: Any = document.data
    if not isinstance(data, dict):
        _bad(document, "it is not an object", "")
    old, new = image
    if old == new:
        return None
    cropped = data.get("do_center_crop") is True and "crop_size" in data
    if not cropped and data.get("do_resize") is False:
        return None
    final = "crop_size" if cropped else "size"
    if any(value != old for _, value in _numbers(data, final)):
        _bad(document, f"`{final}` is not the model's image size {old}", final)
    edits = [(where, value, new) for where, value in _numbers(data, final)]
    if cropped:
        edits += [(where, value, value * new // old) for where, value in _numbers(data, "size")]
    text, changes = document.source.text, []
    for where, value, number in sorted(edits, key=lambda edit: document.values[edit[0]].start, reverse=True):
        span = document.values[where]
        text = text[: span.start] + str(number) + text[span.end :]
        changes.append(f"{where} {value}→{number}")
    return (text, tuple(reversed(changes))) if changes else None


def _numbers(data: dict[str, Any], key: str) -> Iterator[tuple[str, int]]:
    """(place, size) of `224`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}`."""
    value = data.get(key)
    if type(value) is int:
        yield key, value
    elif isinstance(value, dict):
        yield from ((f"{key}.{side}", value[side]) for side in _SIDES if type(value.get(side)) is int)


def _bad(document: Document, why: str, place: str) -> NoReturn:
    fail("GP442", f"{document.path} is not usable: {why}", document.values.get(place), help=_HELP)
