"""What data to fit on must be, as far as that can be said before it is opened. No torch.

NAME.jsonl     lines of objects: `text` or `ids`, and labels where the head has some
NAME.json      ids: a list, a list of lists, or {"ids": …, "labels": …}
NAME.npy       token ids: whole numbers in one dimension or two (rows one after the other)
NAME.bin       token ids as raw uint16 (uint32 where the vocab has more than 65,536)
NAME.npz       `images` and `labels`
a folder       of images, a folder for each class; or a dataset that `datasets` saved by save_to_disk
anything else  a text
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NoReturn

from growplan.check.task import Task, finds_its_end, task_of
from growplan.checkpoint.files import file_sha256, guard, is_directory, is_regular, path_exists
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.families.positions import longest_input, padding_token
from growplan.learn.tokenizer import has_tokenizer, mask_id
from growplan.methods.operator import Recipe

Form = Literal["text", "lines", "json", "ids", "arrays", "folder", "dataset"]
SUFFIXES: Mapping[str, Form] = {
    ".jsonl": "lines",
    ".json": "json",
    ".npy": "ids",
    ".bin": "ids",
    ".npz": "arrays",
}
READ: Mapping[Task, tuple[Form, ...]] = {
    "causal": ("text", "lines", "json", "ids", "dataset"),
    "masked": ("text", "lines", "json", "ids", "dataset"),
    "sequence": ("lines", "json", "dataset"),
    "token": ("lines", "json", "dataset"),
    "answer": ("lines", "dataset"),
    "image": ("arrays", "folder", "dataset"),
}
IMAGES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
SPLITS = {"train", "test", "val", "valid", "validation", "dev"}
BYTES = 256  # a vocab of this size needs no tokenizer
HASHED = 1 << 32  # bytes of a folder that are read for its hash; of a larger one, the names and sizes
PEEKED = 1 << 16  # bytes of a first line
UNPACK = "unpack it first"
SAVE = "load it by `datasets` and save it: `dataset.save_to_disk(FOLDER)`"
NO_TEXT: Mapping[str, str] = {
    **dict.fromkeys((".gz", ".zip", ".zst", ".xz", ".bz2", ".tar", ".tgz", ".7z"), UNPACK),
    **dict.fromkeys((".parquet", ".arrow", ".csv", ".tsv"), SAVE),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), "give the folder: images lie in one for each class"),
    **dict.fromkeys((".safetensors", ".pt", ".pth", ".pkl"), "give a text, .jsonl, or token ids"),
}


def look_at(path: Path, source: Path, model: Model, recipe: Recipe, *, weights: bool) -> Task:
    """The task that a model is fitted on with the data in `path`, of which only the start is read.

    `weights`: the source has weights, so that its tokenizer lies beside them. Raises GP521 (no data), GP522
    (not what the model reads), GP523 (no task to fit on), GP557 (no padding), GP558 (no labels).
    """
    task = task_of(model)
    form = form_of(path)
    if form not in READ[task]:
        _other_kind(path, form, task, model)
    if task == "sequence" and finds_its_end(model) and padding_token(model) is None:
        way = f'add `"pad_token_id": ID` to {source / "config.json"}'
        what = f"{model.architecture} finds the end of a sequence by its padding, and the config names none"
        fail("GP557", what, help=way)
    if task != "image" and weights:
        if _is_text(path, form) and not has_tokenizer(source) and model.sizes["vocab"] != BYTES:
            no_tokenizer(path, source)
        if task == "masked":
            mask_of(source, recipe.mask, model.sizes["vocab"])
    return task


def check_size(path: Path, model: Model, recipe: Recipe) -> None:
    """GP531 where a text or raw ids are too short for two windows: a token takes a byte at least.

    What has a form of its own is to be well formed first, and is measured when it is read.
    """
    task, form, size = task_of(model), form_of(path), path.stat().st_size
    if task not in ("causal", "masked") or form not in ("text", "ids") or path.suffix.lower() == ".npy":
        return
    length = min(recipe.tokens, longest_input(model) or recipe.tokens)
    tokens = size // 2 if path.suffix.lower() == ".bin" else size
    least = 2 * (length - (2 if task == "masked" and form == "text" else 0))
    if tokens < least:
        found = f"{path} has {size:,} bytes, too few for windows of {length} tokens: {least} tokens at least"
        shorter = max(2, tokens // 2)
        fail("GP531", found, help=("give a longer text", f"or shorter windows: `tokens {shorter}`"))


def form_of(path: Path) -> Form:
    """How the data in `path` is kept. Raises GP521 where there is none, GP522 where it is not to be read."""
    if not path_exists(path):
        fail("GP521", f"there is no file {path}", help="the path is relative to the plan; check it")
    if is_directory(path):
        return _form_of_folder(path)
    if not is_regular(path):
        way = "give a file or a folder: a text, .jsonl, token ids, images"
        fail("GP521", f"{path} is no file", help=way)
    with guard(path, "read"):
        if not path.stat().st_size:
            fail("GP521", f"{path} is empty", help="give a file with some thousand tokens")
    suffix = path.suffix.lower()
    if suffix in NO_TEXT:
        fail("GP522", f"{path} is no text", help=NO_TEXT[suffix])
    return SUFFIXES.get(suffix, "text")


def _form_of_folder(path: Path) -> Form:
    if (path / "dataset_dict.json").is_file():
        splits = sorted(each.name for each in path.iterdir() if (each / "state.json").is_file())
        found = ", ".join(splits) or "no split"
        fail("GP522", f"{path} holds {found}", help=[f"give one: `{path / name}`" for name in splits[:3]])
    if (path / "state.json").is_file() and (path / "dataset_info.json").is_file():
        return "dataset"
    with guard(path, "read"):
        folders = {each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")}
    if folders and folders <= SPLITS:
        ways = [f"give one: `{path / name}`" for name in sorted(folders)[:3]]
        fail("GP522", f"{path} holds {', '.join(sorted(folders))}, which are no classes", help=ways)
    if not folders:
        if any(each.suffix.lower() in IMAGES for each in path.iterdir()):
            way = f"give the folder above, with one for each class: `{path.parent}`"
            fail("GP522", f"{path} holds images, and no folder for each class", help=way)
        what = f"{path} holds neither folders of images nor a dataset that `datasets` saved"
        fail(
            "GP522",
            what,
            help=["put the images of each class into a folder named after it", "or give a file"],
        )
    return "folder"


def fingerprint(path: Path) -> str:
    """sha256 of a file; of a folder, that of its files' names and bytes (sizes past HASHED bytes)."""
    if not is_directory(path):
        return file_sha256(path)
    with guard(path, "read"):
        files = sorted(each for each in path.rglob("*") if each.is_file())
        sizes = [each.stat().st_size for each in files]
    whole, digest = sum(sizes) <= HASHED, hashlib.sha256()
    for file, size in zip(files, sizes, strict=True):
        what = file_sha256(file) if whole else str(size)
        digest.update(f"{file.relative_to(path).as_posix()}\0{what}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def mask_of(source: Path, given: int | None, vocab: int) -> int:
    """The id that hides a token: the plan's, else the tokenizer's. Raises GP522, GP523."""
    found = mask_id(source) if given is None else given
    if found is None:
        ways = (
            "add `, mask ID`: the id of the token that the model was trained to fill in",
            "or put its tokenizer's files into the source",
        )
        fail("GP523", "no file of the source says which token masks another", help=ways)
    if not 0 <= found < vocab:
        fail("GP522", f"the mask token {found} lies outside the vocab of {vocab}", help="give `mask ID`")
    return found


def no_tokenizer(path: Path, source: Path) -> NoReturn:
    """GP522: a text, and nothing to read it with."""
    ways = (
        f"put the model's tokenizer.json into {source}",
        "or give token ids: whole numbers in .npy, or uint16 in .bin",
    )
    fail("GP522", f"{path} is a text, and its source has no tokenizer to read it with", help=ways)


def _is_text(path: Path, form: Form) -> bool:
    """Whether the data is text, as far as its start shows."""
    if form == "text":
        return True
    keys = dict.fromkeys(_keys(path, form))
    return "text" in keys and not {"ids", "input_ids"} & set(keys)


def _keys(path: Path, form: Form) -> Iterator[str]:
    """The keys of the first line, or of the columns of a dataset; none where that cannot be read."""
    try:
        if form == "lines":
            with path.open("rb") as file:
                found: Any = json.loads(next(islice(filter(bytes.strip, file), 1))[:PEEKED])
        elif form == "dataset":
            found = json.loads((path / "dataset_info.json").read_bytes()).get("features")
        else:
            return
    except (OSError, ValueError, RecursionError, StopIteration, AttributeError):
        return
    yield from found if isinstance(found, dict) else ()


LABELLED = {
    "sequence": 'write {"text": "…", "label": 0} a line, as .jsonl',
    "token": 'write {"ids": […], "labels": […]} a line, a label for each id, as .jsonl',
    "answer": 'write {"ids": […], "start": 3, "end": 5} a line, as .jsonl',
}


def _other_kind(path: Path, form: Form, task: Task, model: Model) -> NoReturn:
    if task == "image":
        ways = (
            "save them by `numpy.savez(FILE.npz, images=…, labels=…)`",
            "or put the images of each class into a folder of its own, and give the folder above",
        )
        fail("GP522", f"{path} holds no images, and the model reads images with labels", help=ways)
    if form in ("arrays", "folder"):
        fail("GP522", f"{path} holds images, and the model reads token ids", help="give a text")
    fail("GP558", f"{path} has no labels, and {model.architecture} is fitted on them", help=LABELLED[task])
