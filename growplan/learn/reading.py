"""A user's file as a corpus, for the task of a model's own head.

NAME.jsonl       an object a line, its `text` read by the source's tokenizer
NAME.npy         token ids: whole numbers in one dimension or two (rows one after the other)
NAME.bin         token ids as raw uint16 (uint32 where the vocab has more than 65,536)
NAME.npz         `images` [N, height, width], with channels before or after, and `labels` [N]
anything else    a text, read by the source's tokenizer, or as bytes where the vocab is 256
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeGuard

from growplan.checkpoint.files import file_sha256, guard
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.families.positions import longest_input
from growplan.learn.corpus import Corpus, Images, Tokens
from growplan.learn.forms import IDS, look_at, mask_of
from growplan.learn.tokenizer import edges, has_tokenizer, tokenize
from growplan.methods.operator import Recipe

TEXT_LARGEST = 1 << 30  # bytes of text that are tokenised in memory
CHECKED = 1 << 24  # ids whose range is looked at in one piece


def read_corpus(
    path: Path, source: Path, model: Model, recipe: Recipe, key: str, mask: int | None = None
) -> Corpus:
    """The corpus in `path` for `model`, whose tokenizer and image settings lie in `source`.

    `mask`: the id that hides a token, where the source's files do not say it. Raises GP521 (no file),
    GP522 (not what the model reads), GP523 (no task), GP531 (too little).
    """
    task = look_at(path, source, model, mask, weights=True)
    if task == "image":
        return _images(path, source, model, recipe, key)
    return _tokens(path, source, model, recipe, key, task, mask)


# tokens --------------------------------------------------------------------------------------------


def _tokens(
    path: Path,
    source: Path,
    model: Model,
    recipe: Recipe,
    key: str,
    task: Literal["causal", "masked"],
    mask: int | None,
) -> Tokens:
    vocab, longest = model.sizes["vocab"], longest_input(model)
    if longest is not None and recipe.tokens > longest:
        found = f"windows of {recipe.tokens} tokens, and the model has {longest} positions"
        fail("GP531", found, help=f"`tokens {longest}` at most")
    ids = _ids(path, source, model, vocab)
    _check_ids(ids, path, vocab)
    around = None
    if task == "masked":
        mask = mask_of(source, mask, vocab)
        around = edges(source) if path.suffix not in IDS else None
    return Tokens(ids, file_sha256(path), task, recipe.batch, recipe.tokens, key, mask, around)


def _ids(path: Path, source: Path, model: Model, vocab: int) -> Any:
    import numpy as np

    match path.suffix:
        case ".npy":
            return _array(path, np.load, "save whole numbers by `numpy.save`").reshape(-1)
        case ".bin":
            return _raw(path, vocab)
        case ".jsonl":
            found = _read_lines(path, source, model, vocab)
        case _:
            found = _encode(source, _text(path), path)
    return np.asarray(found, dtype=np.uint16 if vocab <= 1 << 16 else np.uint32)


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
        return path.read_bytes()


def _encode(source: Path, raw: bytes, path: Path) -> Any:
    import numpy as np

    if not has_tokenizer(source):
        return np.frombuffer(raw, dtype=np.uint8)
    try:
        return tokenize(source, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        fail("GP522", f"{path} is no UTF-8 text: byte {error.start}", help="save it as UTF-8")


def _read_lines(path: Path, source: Path, model: Model, vocab: int) -> list[int]:
    """The texts one after the other, each followed by the end-of-text token where the config has one."""
    known, end = has_tokenizer(source), _end_of_text(model, vocab)
    out: list[int] = []
    for text in _texts(path):
        out += [*(tokenize(source, text) if known else text.encode("utf-8")), *end]
    return out


def _texts(path: Path) -> Iterator[str]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            fail("GP522", f"{path}, line {number}, is no JSON: {error}", help='write {"text": "…"} a line')
        text = found.get("text") if isinstance(found, dict) else None
        if not isinstance(text, str):
            fail("GP522", f"{path}, line {number}, has no `text`", help='write {"text": "…"} a line')
        yield text


def _end_of_text(model: Model, vocab: int) -> list[int]:
    end = model.config.get("eos_token_id")
    return [end] if type(end) is int and 0 <= end < vocab else []


def _check_ids(ids: Any, path: Path, vocab: int) -> None:
    for at in range(0, len(ids), CHECKED):
        part = ids[at : at + CHECKED]
        for token in (int(part.min()), int(part.max())):
            if not 0 <= token < vocab:
                way = "use the tokenizer that the model was trained with"
                fail("GP522", f"{path} has the id {token}, outside the model's vocab of {vocab}", help=way)


# images --------------------------------------------------------------------------------------------


def _images(path: Path, source: Path, model: Model, recipe: Recipe, key: str) -> Images:
    images, labels = _named(path)
    channels = model.sizes["channels"]
    pixels = _channels_first(images, channels, path)
    _check_labels(labels, len(pixels), model.sizes["labels"], path)
    scale, mean, std = _normalisation(source, images.dtype.kind, channels)
    size = model.sizes["image"]
    return Images(pixels, labels, file_sha256(path), recipe.batch, size, key, scale, mean, std)


def _named(path: Path) -> tuple[Any, Any]:
    import numpy as np

    way = "save them by `numpy.savez(FILE, images=…, labels=…)`"
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in ("images", "labels"):
                if name not in file:
                    fail("GP522", f"{path} has no `{name}`, but {', '.join(file) or 'nothing'}", help=way)
            return file["images"], file["labels"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        fail("GP522", f"{path} cannot be read: {error}", help=way)


def _channels_first(images: Any, channels: int, path: Path) -> Any:
    """[N, channels, size, size] of [N, size, size], [N, channels, …] or [N, …, channels]."""
    if images.dtype.kind not in "uif":
        _bad_images(
            path, f"{images.dtype}", "numbers: uint8 from 0 to 255, or floats as the model reads them"
        )
    if images.ndim == 3 and channels == 1:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] != channels and images.shape[3] == channels:
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] != channels or images.shape[2] != images.shape[3]:
        shape = "x".join(map(str, images.shape[1:]))
        _bad_images(path, f"images of {shape}", f"square images of {channels} channel{'s' * (channels != 1)}")
    return images


def _bad_images(path: Path, found: str, wanted: str) -> NoReturn:
    fail("GP522", f"{path} holds {found}", help=f"save {wanted}")


def _check_labels(labels: Any, images: int, classes: int, path: Path) -> None:
    if labels.dtype.kind not in "iu" or labels.shape != (images,):
        found = f"labels {labels.dtype}{list(labels.shape)} for {images} images"
        fail("GP522", f"{path} holds {found}", help="save one whole number an image")
    if images and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        way = f"labels go from 0 to {classes - 1}"
        fail("GP522", f"{path} has the label {wrong}, and the model {classes} classes", help=way)


def _normalisation(
    source: Path, kind: str, channels: int
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """(scale, mean, std) of uint8 pixels: those of the source's image processor, else to -1 … 1.

    Pixels in floating point are taken as they are.
    """
    if kind == "f":
        return 1.0, (0.0,) * channels, (1.0,) * channels
    try:
        found = json.loads((source / "preprocessor_config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        found = {}
    said = found if isinstance(found, dict) else {}
    mean, std = said.get("image_mean"), said.get("image_std")
    if _numbers(mean, channels) and _numbers(std, channels) and min(std) > 0:
        return 1 / 255, tuple(map(float, mean)), tuple(map(float, std))
    return 1 / 255, (0.5,) * channels, (0.5,) * channels


def _numbers(found: Any, count: int) -> TypeGuard[list[float]]:
    return isinstance(found, list) and len(found) == count and all(type(x) in (int, float) for x in found)
