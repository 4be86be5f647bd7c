"""Reading growth.json back, trusting nothing: wrong types get a diagnostic with the place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from growplan.checkpoint.files import read_bytes
from growplan.checkpoint.growth import FORMAT_VERSION, GROWTH, Growth, Hint, Parent, SegmentRecord, StepRecord
from growplan.checkpoint.strictjson import Codes, Document, read_json
from growplan.diagnostics import fail

_RESTORE = "restore it from where the checkpoint came from, or apply the plan again"
_CODES = Codes(syntax="GP450", duplicate="GP450", help=_RESTORE)
_OF_TRAINING = ("data", "data_sha256", "steps", "tokens", "flops", "held_out")  # what lineage keeps of it
_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
T = TypeVar("T")


def read_growth(directory: Path) -> Growth | None:
    """The document of a grown checkpoint; None when there is none.

    Raises GP450 (not readable as growth.json), GP451 (written by a newer growplan).
    """
    path = directory / GROWTH
    if not os.path.lexists(path):
        return None
    document = read_json(path, _CODES)
    root = _Node(document, "", document.data)
    if not isinstance(document.data, dict):
        root.refuse("", "an object")
    version = root.get("format_version", int, "an integer")
    if version > FORMAT_VERSION:
        fail(
            "GP451",
            f"{path} has format_version {version}; this growplan reads up to {FORMAT_VERSION}",
            document.values.get("format_version"),
            help="upgrade growplan",
        )
    return _growth(root)


def parent_of(source: Path) -> Parent | None:
    """The lineage entry for a source that growplan itself grew; None for any other."""
    growth = read_growth(source)
    if growth is None:
        return None
    digest = hashlib.sha256(read_bytes(source / GROWTH)).hexdigest()
    steps = tuple(step.text for step in growth.steps)
    trained = {key: growth.trained[key] for key in _OF_TRAINING if key in growth.trained}
    return Parent(digest, growth.plan_hash, growth.claim, steps, growth.parent, growth.stage, trained)


@dataclass(frozen=True)
class _Node:
    """A JSON object of the document and the dotted path to it."""

    document: Document
    path: str
    data: Any

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path + key

    def refuse(self, key: str, expected: str) -> NoReturn:
        where = self.at(key)
        span = self.document.values.get(where) or self.document.values.get(self.path)
        message = f"{self.document.path} is not a growth.json: `{where or 'it'}` must be {expected}"
        fail("GP450", message, span, help=_RESTORE)

    def get(self, key: str, kind: type[T], expected: str) -> T:
        value = self.data.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(key, expected)
        return value

    def text(self, key: str) -> str:
        return self.get(key, str, "a string")

    def number(self, key: str) -> float:
        value = self.data.get(key)
        if isinstance(value, str) and value in _WORDS:
            return _WORDS[value]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(key, "a number")
        return value

    def table(self, key: str) -> _Node:
        return _Node(self.document, self.at(key), self.get(key, dict, "an object"))

    def strings(self, key: str) -> tuple[str, ...]:
        items = self.get(key, list, "a list of strings")
        if not all(isinstance(item, str) for item in items):
            self.refuse(key, "a list of strings")
        return tuple(items)

    def string_map(self, key: str) -> Mapping[str, str]:
        table = self.table(key)
        return {name: table.text(name) for name in table.data}

    def number_map(self, key: str) -> Mapping[str, float]:
        table = self.table(key)
        return {name: table.number(name) for name in table.data}

    def objects(self, key: str) -> list[_Node]:
        items = self.get(key, list, "a list")
        nodes = [_Node(self.document, f"{self.at(key)}[{i}]", item) for i, item in enumerate(items)]
        for node in nodes:
            if not isinstance(node.data, dict):
                node.refuse("", "an object")
        return nodes

    def optional(self, key: str, read: Callable[[_Node], T]) -> T | None:
        return None if self.data.get(key) is None else read(self.table(key))


def _growth(root: _Node) -> Growth:
    return Growth(
        plan=root.text("plan"),
        plan_hash=root.text("plan_hash"),
        seed=root.get("seed", int, "an integer"),
        claim=root.text("claim"),
        source=root.text("source"),
        source_files=root.string_map("source_files"),
        steps=tuple(_step(node) for node in root.objects("steps")),
        tensors=root.string_map("tensors"),
        files=root.string_map("files"),
        segments=tuple(_segment(node) for node in root.objects("segments")),
        versions=root.string_map("versions"),
        hint=root.optional("hint", _hint),
        parent=root.optional("parent", _parent),
        extra=root.table("extra").data,
    )


def _step(node: _Node) -> StepRecord:
    return StepRecord(
        id=node.text("id"),
        text=node.text("text"),
        claim=node.text("claim"),
        proof=node.text("proof"),
        reasons=node.strings("reasons"),
        measured=node.number_map("measured"),
        implied=node.text("implied"),
    )


def _segment(node: _Node) -> SegmentRecord:
    return SegmentRecord(node.strings("steps"), node.text("claim"), node.number_map("measured"))


def _hint(node: _Node) -> Hint:
    why = node.text("why")
    if node.data.get("lr_scale") is None and node.data.get("warmup_steps") is None:
        return Hint(None, None, why)
    return Hint(node.number("lr_scale"), node.get("warmup_steps", int, "an integer"), why)


def _parent(node: _Node) -> Parent:
    return Parent(
        growth_sha256=node.text("growth_sha256"),
        plan_hash=node.text("plan_hash"),
        claim=node.text("claim"),
        steps=node.strings("steps"),
        parent=node.optional("parent", _parent),
        stage=node.text("stage") if "stage" in node.data else "",
        trained=node.table("trained").data if "trained" in node.data else {},
    )
