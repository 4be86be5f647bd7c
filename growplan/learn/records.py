"""Data that is kept in records: lines of JSON, a .json of ids, a dataset that `datasets` saved.

{"text": "…"}                       a language model; with `label`, a head for sequences
{"ids": […]}                        the same, tokenised; `input_ids` is another word for it
{"ids": […], "labels": […]}         a head for tokens: a label for each, -100 where nothing is asked
{"ids": […], "start": 3, "end": 5}  a head for answers: the first token of the answer and the last
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.files import guard
from growplan.diagnostics import fail
from growplan.learn.forms import BYTES, Form, no_tokenizer
from growplan.learn.tokenizer import Encoder, has_tokenizer

Record = Mapping[str, Any]
Placed = tuple[str, Record]  # where it stands (`line 3`), and what it says
TEXT, IDS, LABELS = ("text",), ("ids", "input_ids"), ("label", "labels")
START, END = ("start", "start_positions"), ("end", "end_positions")
READ = (*TEXT, *IDS, *LABELS, *START, *END)
LARGEST = 1 << 30  # bytes of a .json
LONGEST_LINE = 1 << 26
TOGETHER = 512  # records whose texts are tokenised in one go
WRITE = 'write {"text": "…"} or {"ids": […]} a line'


def read_records(path: Path, form: Form, labels: Collection[str] = ()) -> Iterator[Placed]:
    """Every record, in order. A dataset's labels are given by name where all of its names are in `labels`.

    Raises GP522 for what is no record, GP559 where `datasets` is not installed.
    """
    match form:
        case "json":
            yield from _from_json(path)
        case "dataset":
            rows = load_dataset(path)
            known = [name for name in rows.column_names if name in READ]
            if not set(known) & {*TEXT, *IDS}:
                found = f"{path} has the columns {', '.join(rows.column_names)}"
                fail("GP522", found, help="name one `text`, or `ids`: `dataset.rename_column(…)`")
            rows = rows.select_columns(known)
            named = {name: names for name in known if (names := label_names(rows.features[name]))}
            named = {name: names for name, names in named.items() if set(names) <= set(labels)}
            for number, row in enumerate(rows):
                yield f"row {number}", {**row, **{n: _by_name(row[n], names) for n, names in named.items()}}
        case _:
            yield from _lines(path)


def label_names(feature: Any) -> list[str]:
    """The names of a column of labels, or of lists of them; none where they are plain numbers."""
    return list(getattr(getattr(feature, "feature", feature), "names", None) or ())


def _by_name(label: Any, names: Sequence[str]) -> Any:
    if isinstance(label, list):
        return [_by_name(each, names) for each in label]
    return names[label] if type(label) is int and 0 <= label < len(names) else label


def load_dataset(path: Path) -> Any:
    """The dataset in a folder. Raises GP522 where it cannot be read, GP559 without `datasets`."""
    try:
        import datasets
    except ImportError:
        missing("datasets", f"{path} is a dataset")
    try:
        return datasets.load_from_disk(str(path))
    except Exception as error:  # of many kinds: arrow's own among them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        fail("GP522", f"{path} cannot be loaded: {reason}", help="save it again: `save_to_disk(FOLDER)`")


def missing(package: str, what: str) -> NoReturn:
    """GP559: a package that reading this data needs is not installed."""
    fail("GP559", f"{what}, and `{package}` is not installed", help="`pip install 'growplan[data]'`")


def encoded(
    path: Path, records: Iterable[Placed], source: Path, vocab: int, longest: int | None = None
) -> Iterator[tuple[str, list[int], Record]]:
    """(where, ids, record) of every record; with `longest` cut to so many, what a text begins with added.

    Raises GP522 for a record that is neither text nor ids, and for texts without a tokenizer.
    """
    encode: Encoder | None = None
    waiting = iter(records)
    while part := list(islice(waiting, TOGETHER)):
        texts = [record[TEXT[0]] for where, record in part if _is_text(path, where, record)]
        made: Iterator[list[int]] = iter(())
        if texts and has_tokenizer(source):
            encode = encode or Encoder(source)
            made = iter(encode(texts, longest))
        elif texts:
            if vocab != BYTES:
                no_tokenizer(path, source)
            made = iter([list(text.encode("utf-8")[:longest]) for text in texts])
        for where, record in part:
            ids = first_of(record, IDS)
            yield where, (next(made) if ids is None else list(ids[:longest])), record


def first_of(record: Record, names: Sequence[str]) -> Any:
    """What a record says under one of some names; None where it says nothing."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def _is_text(path: Path, where: str, record: Record) -> bool:
    """Whether a record is to be tokenised; GP522 where it is neither text nor ids."""
    ids = first_of(record, IDS)
    if ids is not None:
        if not isinstance(ids, list) or not all(type(each) is int for each in ids):
            fail("GP522", f"{path}, {where}, has `ids` that are no list of whole numbers", help=WRITE)
        return False
    if not isinstance(record.get(TEXT[0]), str):
        fail("GP522", f"{path}, {where}, has no `text`", help=WRITE)
    return True


def _lines(path: Path) -> Iterator[Placed]:
    with guard(path, "read"), path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if not line.strip():
                continue
            if len(line) == LONGEST_LINE:
                fail("GP522", f"{path}, line {number}, is longer than {LONGEST_LINE:,} bytes", help=WRITE)
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                fail("GP522", f"{path}, line {number}, is no JSON: {error}", help=WRITE)
            yield f"line {number}", found if isinstance(found, dict) else {}


def _from_json(path: Path) -> Iterator[Placed]:
    """A list of ids, a list of such lists, or {"ids": …, "labels": …}: a record for each list."""
    way = "write a list of ids, a list of lists of ids, or {ids, labels}"
    with guard(path, "read"):
        if path.stat().st_size > LARGEST:
            fail("GP522", f"{path} is too large for one .json", help="write .jsonl: an object a line")
        raw = path.read_bytes()
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        fail("GP522", f"{path} is no JSON: {error}", help=way)
    ids, labels = (found.get("ids"), found.get("labels")) if isinstance(found, dict) else (found, None)
    if not isinstance(ids, list) or not ids:
        fail("GP522", f"{path} does not hold token ids", help=way)
    if not isinstance(ids[0], list):
        ids, labels = [ids], None if labels is None else [labels]
    if labels is None:
        labels = [None] * len(ids)
    if not isinstance(labels, list) or len(labels) != len(ids):
        fail("GP522", f"{path} does not hold one label for every sequence", help=way)
    for number, (row, label) in enumerate(zip(ids, labels, strict=True)):
        yield f"sequence {number}", {"ids": row, "label": label}
