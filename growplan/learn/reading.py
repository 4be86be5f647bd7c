"""A user's data as a corpus, for the task of a model's own head. `forms.py` says in what forms it comes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from growplan.check.task import Task
from growplan.checkpoint.files import guard
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.families.positions import longest_input, padding_token
from growplan.learn.corpus import Corpus, Readers, Tokens
from growplan.learn.forms import Form, fingerprint, form_of, look_at, mask_of
from growplan.learn.kept import Kept, packed, tokenizer_facts, unpacked
from growplan.learn.labelled import Labelled, labelled, labels_by_name
from growplan.learn.pixels import read_images
from growplan.learn.records import Placed, encoded, read_records
from growplan.learn.tokenizer import edges, has_tokenizer, tokenize
from growplan.methods.operator import Recipe

TEXT_LARGEST = 1 << 30  # bytes of text that are tokenised in memory
CHECKED = 1 << 24  # ids whose range is looked at in one piece
NOTHING = Kept()
WHOLE: tuple[Form, ...] = ("ids", "json")  # ids as a user gives them, nothing put around them


def read_corpus(
    path: Path,
    source: Path,
    model: Model,
    recipe: Recipe,
    key: str,
    readers: Readers = (),
    kept: Kept = NOTHING,
) -> Corpus:
    """The corpus in `path` for `model`, whose tokenizer and image settings lie in `source`.

    `readers`: who else reads this data, by the same key; what is held out is the same for all. `kept`: where
    token ids lie that were made before. Raises GP521 (no data), GP522 (not what the model reads), GP523 (no
    task), GP531 (too little), GP557 to GP559 and GP562.
    """
    task = look_at(path, source, model, recipe, weights=True)
    form = form_of(path)
    if task == "image":
        return read_images(path, form, source, model, recipe, key, readers)
    longest = longest_input(model)
    if longest is not None and recipe.tokens > longest:
        found = f"windows of {recipe.tokens} tokens, and the model has {longest} positions"
        fail("GP531", found, help=f"`tokens {longest}` at most")
    data = _Data(path, form, source, model, fingerprint(path), kept)
    if task in ("causal", "masked"):
        return _tokens(data, task, recipe, key, readers)
    return _labelled(data, task, recipe, key, readers)


@dataclass(frozen=True)
class _Data:
    """A file or a folder of text or ids, and the model that reads it."""

    path: Path
    form: Form
    source: Path
    model: Model
    sha256: str
    kept: Kept

    @property
    def vocab(self) -> int:
        return self.model.sizes["vocab"]

    def ids(self, make: Callable[[], Any], *facts: object) -> Any:
        """What a tokenizer makes of the data, or has made of it by the same other `facts`."""
        if not has_tokenizer(self.source):
            return make()
        return self.kept.ids((self.form, self.sha256, *tokenizer_facts(self.source), *facts), make)

    def checked(self, ids: Sequence[int]) -> Sequence[int]:
        """Raises GP522 for an id outside the vocab."""
        for token in (min(ids, default=0), max(ids, default=0)):
            _check_id(token, self.path, self.vocab)
        return ids


def _labelled(data: _Data, task: Task, recipe: Recipe, key: str, readers: Readers) -> Labelled:
    def records() -> Iterator[Placed]:
        return read_records(data.path, data.form, labels_by_name(data.model).keys())

    def make() -> Any:
        found = encoded(data.path, records(), data.source, data.vocab, recipe.tokens)
        return packed(data.checked(ids) for _, ids, _ in found)

    flat = data.ids(make, recipe.tokens)
    found = ((where, ids, record) for (where, record), ids in zip(records(), unpacked(flat), strict=True))
    sequences, targets = labelled(data.path, found, data.model, task)
    pad = padding_token(data.model) or 0  # where a mask says what is none, any token will do
    return Labelled(sequences, targets, data.sha256, task, recipe.batch, pad, key, readers)


# one long row of tokens ----------------------------------------------------------------------------


def _tokens(data: _Data, task: Task, recipe: Recipe, key: str, readers: Readers) -> Tokens:
    ids = _ids(data)
    _check_ids(ids, data.path, data.vocab)
    around = mask = None
    if task == "masked":
        mask = mask_of(data.source, recipe.mask, data.vocab)
        around = edges(data.source) if data.form not in WHOLE else None
    asked, vocab = cast(Literal["causal", "masked"], task), data.vocab
    return Tokens(ids, data.sha256, asked, recipe.batch, recipe.tokens, key, vocab, mask, around, readers)


def _ids(data: _Data) -> Any:
    import numpy as np

    path, vocab = data.path, data.vocab
    if data.form == "ids" and path.suffix.lower() == ".npy":
        return _array(path, np.load, "save whole numbers by `numpy.save`").reshape(-1)
    if data.form == "ids":
        return _raw(path, vocab)
    kind = np.uint16 if vocab <= 1 << 16 else np.uint32
    if data.form == "text":
        return data.ids(lambda: np.asarray(_encode(data.source, _text(path), path), dtype=kind), kind)
    end = _end_of_text(data.model, vocab) if data.form != "json" else []

    def make() -> Any:
        parts = [np.zeros(0, kind)]
        for _, ids, record in encoded(path, read_records(path, data.form), data.source, vocab):
            parts.append(np.asarray([*data.checked(ids), *(end if "text" in record else [])], dtype=kind))
        return np.concatenate(parts)

    return data.ids(make, kind, end)


def _array(path: Path, load: Any, way: str) -> Any:
    try:
        array = load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        fail("GP522", f"{path} cannot be read: {error}", help=way)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        what = f"{array.dtype} in {array.ndim} dimension{'s' * (array.ndim != 1)}"
        fail("GP522", f"{path} holds {what}", help="save whole numbers in one dimension or two")
    return array


def _raw(path: Path, vocab: int) -> Any:
    import numpy as np

    kind = np.dtype("<u2" if vocab <= 1 << 16 else "<u4")
    with guard(path, "read"):
        size = path.stat().st_size
        if size % kind.itemsize:
            fail(
                "GP522", f"{path} has {size} bytes, no multiple of {kind.itemsize}", help=f"save {kind.name}"
            )
        return np.memmap(path, dtype=kind, mode="r")


def _text(path: Path) -> bytes:
    with guard(path, "read"):
        size = path.stat().st_size
        if size > TEXT_LARGEST:
            way = "tokenise it once and save the ids as uint16 in a .bin"
            fail("GP522", f"{path} has {size:,} bytes of text, more than is tokenised at once", help=way)
        raw = path.read_bytes()
    if b"\0" in raw:
        way = "give a text, or bytes as uint8 in a .npy"
        fail("GP522", f"{path} is no text: byte {raw.index(0)} is 0", help=way)
    return raw


def _encode(source: Path, raw: bytes, path: Path) -> Any:
    import numpy as np

    if not has_tokenizer(source):
        return np.frombuffer(raw, dtype=np.uint8)
    try:
        return tokenize(source, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        fail("GP522", f"{path} is no UTF-8 text: byte {error.start}", help="save it as UTF-8")


def _end_of_text(model: Model, vocab: int) -> list[int]:
    """What is put after each text of a record: the end-of-text token where the config has one."""
    end = model.config.get("eos_token_id")
    return [end] if type(end) is int and 0 <= end < vocab else []


def _check_ids(ids: Any, path: Path, vocab: int) -> None:
    for at in range(0, len(ids), CHECKED):
        part = ids[at : at + CHECKED]
        _check_id(int(part.min()), path, vocab)
        _check_id(int(part.max()), path, vocab)


def _check_id(token: int, path: Path, vocab: int) -> None:
    if not 0 <= token < vocab:
        way = "use the tokenizer that the model was trained with"
        fail("GP522", f"{path} has the id {token}, outside the model's vocab of {vocab}", help=way)
