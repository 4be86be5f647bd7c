"""Images that are decoded as they are drawn: from a folder for each class, or from a saved dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.learn.forms import IMAGES, Form
from growplan.learn.labelled import labels_by_name
from growplan.learn.records import label_names, load_dataset, missing

MODES = {1: "L", 3: "RGB"}
BILINEAR, FILTERS = 2, range(6)  # pillow's numbers


@dataclass(frozen=True)
class Resizing:
    """How an image comes to the model's size: its short side to `short`, or both to `sides`; then cropped."""

    size: int
    short: int | None = None
    sides: tuple[int, int] | None = None
    filter: int = BILINEAR

    @classmethod
    def of(cls, said: Mapping[str, Any], size: int) -> Resizing:
        """What a preprocessor says, at the model's size: of a crop, its ratio to what it is cut from."""
        wanted, crop = said.get("size"), said.get("crop_size")
        found = said.get("resample")
        filter = found if type(found) is int and found in FILTERS else BILINEAR
        cropped = _sides(crop) if said.get("do_center_crop") is True else None
        final = None if cropped is None else cropped[0]
        if said.get("do_resize") is False:
            return cls(size, short=size, filter=filter)
        edge = wanted.get("shortest_edge") if isinstance(wanted, dict) else None
        if type(edge) is int and edge > 0:
            return cls(size, short=max(size, edge * size // (final or edge)), filter=filter)
        sides = _sides(wanted)
        if final is None or not sides:
            return cls(size, sides=(size, size), filter=filter)
        height, width = (max(size, side * size // final) for side in sides)
        return cls(size, sides=(height, width), filter=filter)

    def __call__(self, image: Any) -> Any:
        """A PIL image of `size` x `size`."""
        if self.sides is not None:
            height, width = self.sides
        else:
            assert self.short is not None
            ratio = self.short / min(image.size)
            width, height = (max(self.short, round(side * ratio)) for side in image.size)
        image = image.resize((width, height), self.filter)
        left, top = (width - self.size) // 2, (height - self.size) // 2
        return image.crop((left, top, left + self.size, top + self.size))


def _sides(found: Any) -> tuple[int, int] | None:
    """(height, width) of `224` or `{"height": 224, "width": 224}`."""
    if isinstance(found, dict):
        height, width = found.get("height"), found.get("width")
    else:
        height = width = found
    if type(height) is int and type(width) is int and height > 0 and width > 0:
        return height, width
    return None


@dataclass(frozen=True)
class Pictures:
    """Images that are decoded when they are drawn: `pictures[index]` is uint8 [n, channels, size, size].

    `get` gives a PIL image, `name` what to call it. Raises GP562 for one that cannot be decoded.
    """

    count: int
    get: Callable[[int], Any]
    name: Callable[[int], str]
    resizing: Resizing
    mode: str

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Sequence[int]) -> Any:
        import numpy as np

        found = np.stack([np.asarray(self._one(int(i))) for i in index])
        return found[:, None] if self.mode == "L" else found.transpose(0, 3, 1, 2)

    def _one(self, i: int) -> Any:
        from PIL import Image, ImageOps

        try:
            image = self.get(i)
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"its pixels are {image.mode}, of more than 8 bits")
            return self.resizing(ImageOps.exif_transpose(image).convert(self.mode))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            fail("GP562", f"{self.name(i)} cannot be decoded: {reason}", help="save it again, or take it out")


def decoded(path: Path, form: Form, model: Model, resizing: Resizing, channels: int) -> tuple[Pictures, Any]:
    """(images, labels) of a folder of classes or of a dataset. Raises GP522, GP558, GP559 without pillow."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        missing("pillow", f"{path} holds images to decode")
    if channels not in MODES:
        way = "save arrays by `numpy.savez(FILE, images=…, labels=…)`"
        fail("GP522", f"decoded images have 1 or 3 channels, and the model reads {channels}", help=way)
    get, name, labels = _of_folder(path, model) if form == "folder" else _of_dataset(path, model)
    return Pictures(len(labels), get, name, resizing, MODES[channels]), labels


Found = tuple[Callable[[int], Any], Callable[[int], str], Any]  # image, name, labels


def _of_folder(path: Path, model: Model) -> Found:
    """Every image below a folder for each class, as torchvision's ImageFolder finds them."""
    import numpy as np

    names = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    numbers = _numbers_of(names, model, path)
    files, labels = list[Path](), list[int]()
    for name in names:
        found = sorted(f for f in (path / name).rglob("*") if f.suffix.lower() in IMAGES and f.is_file())
        if not found:
            fail("GP522", f"{path / name} holds no image", help="take the folder out, or fill it")
        files += found
        labels += [numbers[name]] * len(found)

    def get(i: int) -> Any:
        from PIL import Image

        with Image.open(files[i]) as image:
            image.load()
            return image

    return get, lambda i: str(files[i]), np.asarray(labels)


def _of_dataset(path: Path, model: Model) -> Found:
    """The columns `image` and `label` of a saved dataset."""
    import numpy as np

    rows = load_dataset(path)
    label = next((name for name in ("label", "labels") if name in rows.column_names), None)
    if "image" not in rows.column_names or label is None:
        found = ", ".join(rows.column_names) or "none"
        fail("GP522", f"{path} has the columns {found}", help="name them `image` and `label`")
    labels = np.asarray(rows[label][:])
    named = label_names(rows.features[label])
    if named:
        numbers = _numbers_of(named, model, path)
        labels = np.asarray([numbers[named[int(i)]] if 0 <= i < len(named) else -1 for i in labels])
    check_labels(labels, len(labels), model.sizes["labels"], path)

    def get(i: int) -> Any:
        image = rows[i]["image"]
        if not hasattr(image, "resize"):
            raise ValueError("the column `image` holds no images")
        return image

    return get, lambda i: f"{path}, row {i},", labels


def _numbers_of(names: Sequence[str], model: Model, path: Path) -> Mapping[str, int]:
    """The label of each class: that of its name in the config, else its place in the order given.

    Raises GP558 where the config names classes and knows some of these and not others, or has fewer.
    """
    known, classes = labels_by_name(model), model.sizes["labels"]
    if set(names) <= set(known):
        return known
    if len(names) > classes or set(names) & set(known):
        strange = [name for name in names if name not in known]
        what = f"{path} has {len(names)} classes, {strange[0]!r} among them, and the model {classes}"
        way = f"the model's are {', '.join(list(known)[:6]) or f'numbered 0 to {classes - 1}'}"
        fail("GP558", what, help=way)
    return {name: number for number, name in enumerate(names)}


def check_labels(labels: Any, images: int, classes: int, path: Path) -> None:
    """GP522 where labels are not one whole number an image, GP558 where the model does not have one."""
    if labels.dtype.kind not in "iu" or labels.shape != (images,):
        found = f"labels {labels.dtype}{list(labels.shape)} for {images} images"
        fail("GP522", f"{path} holds {found}", help="save one whole number an image")
    if images and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        way = f"labels go from 0 to {classes - 1}"
        fail("GP558", f"{path} has the label {wrong}, and the model {classes} classes", help=way)
