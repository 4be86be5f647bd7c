"""sentence-transformers' modules: folders whose files repeat the model's width.

`modules.json` lists them. Pooling has numbers to follow; Dense, LayerNorm and the like have weights
of the old width, which no rewrite here can grow: they are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.files import is_regular
from growplan.checkpoint.sidecar_rules import kind_of_file
from growplan.checkpoint.strictjson import Codes, Document, read_json
from growplan.diagnostics import fail

MODULES = "modules.json"
_CORRECT = f"correct it, or remove {MODULES} where sentence-transformers is not used"
_CODES = Codes(syntax="GP441", duplicate="GP441", help=_CORRECT)
_HIDDEN_KEYS = ("word_embedding_dimension", "embedding_dimension")
_DEPTH_KEYS = ("num_hidden_layers",)


@dataclass(frozen=True)
class Resize:
    """Old and new hidden size, number of layers, and size of images (None: the model reads none)."""

    hidden: tuple[int, int]
    depth: tuple[int, int]
    image: tuple[int, int] | None = None

    @property
    def changes_hidden(self) -> bool:
        return self.hidden[0] != self.hidden[1]

    @property
    def changes_depth(self) -> bool:
        return self.depth[0] != self.depth[1]


def module_folders(source: Path) -> frozenset[str]:
    """The first folder of every module path in modules.json; empty without that file.

    Raises GP441 for a modules.json that is not a list of modules, or a path that leads outside.
    """
    path = source / MODULES
    if not is_regular(path):
        return frozenset()
    document = read_json(path, _CODES)
    if not isinstance(document.data, list):
        _bad(document, "it is not a list of modules", "")
    folders: set[str] = set()
    for i, module in enumerate(document.data):
        where = module.get("path") if isinstance(module, dict) else None
        if not isinstance(where, str):
            _bad(document, f"module {i} has no path", f"[{i}]")
        parts = where.replace("\\", "/").split("/")
        if where.startswith("/") or ".." in parts or "\0" in where:
            _bad(document, f"module {i} lies outside the directory", f"[{i}].path")
        if parts[0] not in ("", "."):
            folders.add(parts[0])
    return frozenset(folders)


def _bad(document: Document, why: str, path: str) -> NoReturn:
    fail("GP441", f"{document.path} is not usable: {why}", document.values.get(path), help=_CORRECT)


def folder_rewrites(
    source: Path, folder: str, files: Sequence[str], resize: Resize | None
) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """path → (new text, changes) for the files of a module folder that follow the new sizes.

    Raises GP440 when the module holds weights and the hidden size changes, or is made for the
    old number of layers.
    """
    if resize is None or not (resize.changes_hidden or resize.changes_depth):
        return {}
    weights = [f for f in files if kind_of_file(Path(f).name) == "weights" or f.endswith(".safetensors")]
    if weights and resize.changes_hidden:
        _refuse(source, folder, f"{weights[0]} was trained for width {resize.hidden[0]}")
    config = f"{folder}/config.json"
    if config not in files:
        return {}
    document = read_json(source / config, _CODES)
    data: Any = document.data
    if not isinstance(data, dict):
        _bad(document, "it is not an object", "")
    if resize.changes_depth and any(key in data for key in _DEPTH_KEYS):
        _refuse(source, folder, f"{config} is made for {resize.depth[0]} layers")
    changed = _new_numbers(document, dict.fromkeys(_HIDDEN_KEYS, resize.hidden))
    return {config: changed} if changed else {}


def _new_numbers(
    document: Document, sizes: Mapping[str, tuple[int, int]]
) -> tuple[str, tuple[str, ...]] | None:
    """The text with old sizes replaced where they stand; everything else keeps its spelling."""
    text = document.source.text
    changes: list[str] = []
    edits = []
    for key, (old, new) in sizes.items():
        if type(document.data.get(key)) is int and document.data[key] == old != new:
            span = document.values[key]
            edits.append((span.start, span.end, str(new)))
            changes.append(f"{key} {old}→{new}")
    for start, end, number in sorted(edits, reverse=True):
        text = text[:start] + number + text[end:]
    return (text, tuple(changes)) if changes else None


def _refuse(source: Path, folder: str, why: str) -> NoReturn:
    fail(
        "GP440",
        f"the sentence-transformers module {folder} cannot follow: {why}",
        notes=[("found", str(source / folder))],
        help=(
            f"take the module out (its folder and its entry in {MODULES}) and train it again afterwards",
            "or grow axes that keep its sizes (`ffn`, `heads`)",
        ),
    )
