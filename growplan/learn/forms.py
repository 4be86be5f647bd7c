"""What a file to fit on must be, as far as that can be said before it is opened. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn, cast

from growplan.check.task import task_of
from growplan.checkpoint.files import guard, is_regular, path_exists
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.learn.tokenizer import has_tokenizer, mask_id

Task = Literal["causal", "masked", "image"]
IMAGES = ".npz"
IDS = (".npy", ".bin")  # token ids, which need no tokenizer
BYTES = 256  # a vocab of this size needs none either


def look_at(path: Path, source: Path, model: Model, mask: int | None, *, weights: bool) -> Task:
    """The task that a model is fitted on with the file in `path`; the file is not read.

    `weights`: the source has weights, so that its tokenizer lies beside them. Raises GP521 (no file), GP522
    (not what the model reads), GP523 (no task to fit on).
    """
    check_file(path)
    task = task_of(model)
    if task in ("sequence", "token"):
        ways = ("give the checkpoint with its language-model head", "or grow it `via fpi`")
        fail("GP523", f"an operator is not fitted on labels of a {task}", help=ways)
    if (task == "image") != (path.suffix == IMAGES):
        _other_kind(path, task)
    if task != "image" and weights:
        if path.suffix not in IDS and not has_tokenizer(source) and model.sizes["vocab"] != BYTES:
            _no_tokenizer(path, source)
        if task == "masked":
            mask_of(source, mask, model.sizes["vocab"])
    return cast(Task, task)


def check_file(path: Path) -> None:
    """GP521 where there is no file, or nothing in it."""
    if not path_exists(path):
        fail("GP521", f"there is no file {path}", help="the path is relative to the plan; check it")
    if not is_regular(path):
        fail("GP521", f"{path} is no file", help="give a file: a text, .jsonl, token ids, or images in .npz")
    with guard(path, "read"):
        if not path.stat().st_size:
            fail("GP521", f"{path} is empty", help="give a file with some thousand tokens")


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


def _other_kind(path: Path, task: str) -> NoReturn:
    if task == "image":
        way = "save them by `numpy.savez(FILE, images=…, labels=…)`"
        fail("GP522", f"{path} is no {IMAGES}, and the model reads images with labels", help=way)
    fail("GP522", f"{path} holds images, and the model reads token ids", help="give a text")


def _no_tokenizer(path: Path, source: Path) -> NoReturn:
    ways = (
        f"put the model's tokenizer.json into {source}",
        "or give token ids: whole numbers in .npy, or uint16 in .bin",
    )
    fail("GP522", f"{path} is a text, and its source has no tokenizer to read it with", help=ways)
