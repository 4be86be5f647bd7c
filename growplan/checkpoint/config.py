"""config.json: read with positions, written as transformers writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.dtypes import CONFIG_DTYPES
from growplan.checkpoint.files import guard, is_directory, is_regular, path_exists, write_bytes
from growplan.checkpoint.foreign import refuse_adapter, refuse_quantized, refuse_weights
from growplan.checkpoint.strictjson import Codes, json_kind, read_json
from growplan.diagnostics import Source, Span, fail

CONFIG = "config.json"
_LONGEST_ID = 96  # characters that a hub allows
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SAVE_AGAIN = "save the model again with `save_pretrained`, which writes a whole config.json"
_CODES = Codes(syntax="GP301", duplicate="GP302", help=f"correct it there, or {_SAVE_AGAIN}")


@dataclass(frozen=True)
class Config:
    """A config.json as values with places.

    `spans` maps a key to where it stands (nested ones dotted: `rope_parameters.rope_theta`);
    `values` maps it to where its value stands. `path` is the file.
    """

    path: Path
    data: Mapping[str, Any]
    source: Source
    spans: Mapping[str, Span]
    values: Mapping[str, Span]

    @property
    def directory(self) -> Path:
        return self.path.parent

    def span(self, key: str) -> Span | None:
        """The key and its value, for a diagnostic; None when the key is absent."""
        key_span, value = self.spans.get(key), self.values.get(key)
        if key_span is None or value is None:
            return key_span
        one_line = "\n" not in self.source.text[key_span.start : value.end]
        return Span(self.source, key_span.start, value.end) if one_line else key_span

    @property
    def dtype(self) -> str | None:
        """safetensors' name of the float type (`F32`), or None when the config does not say.

        `dtype` wins over the older `torch_dtype`, as in transformers.
        """
        word = self.data.get("dtype")
        if word is None:
            word = self.data.get("torch_dtype")
        return CONFIG_DTYPES.get(word.removeprefix("torch.")) if isinstance(word, str) else None


def read_config(directory: Path | str, given: str | None = None) -> Config:
    """Read `directory`/config.json (or the file itself, when a .json file is given).

    `given` is how a plan names it (`org/name`), where `directory` was resolved from it.

    Raises GP400 (no such directory), GP300 (no config.json), GP301 (not JSON, not UTF-8, NaN),
    GP302 (duplicate key), GP303 (not an object), GP411 (PEFT), GP412 (quantized), GP43x (unreadable).
    """
    path, names = _locate(directory, given)
    document = read_json(path, _CODES)
    if not isinstance(document.data, dict):
        message = f"{path} holds {json_kind(document.data)}, not an object"
        fail("GP303", message, document.values.get(""), help=_SAVE_AGAIN)
    refuse_adapter(path.parent, names)
    refuse_quantized(path.parent, document.data, document.keys.get("quantization_config"))
    return Config(path, document.data, document.source, document.keys, document.values)


def _locate(directory: Path | str, given: str | None) -> tuple[Path, frozenset[str]]:
    path = Path(directory)
    if path.suffix == ".json" and is_regular(path):
        return path, list_directory(path.parent)
    names = list_directory(path, given, hub=not str(directory).startswith("."))
    if CONFIG not in names:
        refuse_adapter(path, names)
        refuse_weights(path, names)
        _no_config(path, names)
    return path / CONFIG, names


def _no_config(directory: Path, names: frozenset[str]) -> NoReturn:
    notes = [("found", ", ".join(sorted(names)[:8]) or "an empty directory")]
    nested = sorted(n for n in names if is_regular(directory / n / CONFIG))
    help = ["point `source` at a directory that `from_pretrained` loads: it holds config.json"]
    if nested:
        help.insert(0, f"did you mean {directory / nested[0]}?")
    fail("GP300", f"there is no config.json in {directory}", notes=notes, help=help)


def list_directory(directory: Path, given: str | None = None, *, hub: bool = False) -> frozenset[str]:
    """The names in a directory.

    GP400 when there is none; `given` is how a plan names it, `hub` says that it may be a hub id.
    """
    if "\0" in str(directory):
        message = f"{str(directory)!r} is not a path: it holds a NUL character"
        fail("GP400", message, help="take the character out")
    if not is_directory(directory):
        _no_directory(directory, given, hub)
    with guard(directory, "list"):
        return frozenset(entry.name for entry in directory.iterdir())


def _no_directory(directory: Path, given: str | None, hub: bool) -> NoReturn:
    name = given or str(directory)
    if path_exists(directory):
        fail("GP400", f"{name} is a file, not a directory", help="give the directory that holds config.json")
    help = ["check the path" + ("; a relative one counts from the plan's own directory" if given else "")]
    if hub and len(name) <= _LONGEST_ID and _HUB_ID.fullmatch(name):
        local = name.rsplit("/", 1)[-1]
        fetch = f"`hf download {name} --local-dir {local}`, then use ./{local}"
        help.insert(0, f"growplan reads local directories: {fetch}")
    fail("GP400", f"there is no directory {name}", help=help)


def config_text(data: Mapping[str, Any]) -> str:
    """The text transformers writes for a config: indent 2, sorted keys, newline at the end."""
    return json.dumps(dict(data), indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_config(directory: Path, data: Mapping[str, Any]) -> Path:
    """Write `directory`/config.json; returns its path."""
    path = directory / CONFIG
    write_bytes(path, config_text(data).encode())
    return path
