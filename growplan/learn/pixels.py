"""Images with labels: from .npz, from a folder for each class, from a dataset; as the model reads them.

What preprocessor_config.json beside the source says is done to them: the size and the crop (of what is
decoded here), the scale, mean and deviation of the pixels. Without one, ViT's own: one size, -1 to 1.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from growplan.checkpoint.preprocessor import PREPROCESSOR
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.learn.corpus import Images, Readers
from growplan.learn.forms import Form, fingerprint
from growplan.learn.pictures import Resizing, check_labels, decoded
from growplan.methods.operator import Recipe

UNSCALED = 20.0  # no normalised pixel is as far from 0


def read_images(
    path: Path, form: Form, source: Path, model: Model, recipe: Recipe, key: str, readers: Readers
) -> Images:
    """The images in `path` for `model`. Raises GP522, GP531, GP558, GP559."""
    said, channels = _preprocessor(source), model.sizes["channels"]
    size, classes = model.sizes["image"], model.sizes["labels"]
    if form == "arrays":
        images, labels = _named(path)
        pixels = _channels_first(images, channels, path)
        check_labels(labels, len(pixels), classes, path)
        kind = images.dtype.kind
    else:
        pixels, labels = decoded(path, form, model, Resizing.of(said, size), channels)
        kind = "u"
    scale, mean, std = _normalisation(said, kind, channels)
    return Images(pixels, labels, fingerprint(path), recipe.batch, size, key, scale, mean, std, readers)


# arrays --------------------------------------------------------------------------------------------


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
    import numpy as np

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
    if images.size and images.dtype.kind == "f":
        largest = float(np.abs(images).max())
        if not largest < UNSCALED:
            what = f"pixels up to {largest:g} in floating point, which are read as they are"
            _bad_images(path, what, "uint8 from 0 to 255, or divide them first")
    return images


def _bad_images(path: Path, found: str, wanted: str) -> NoReturn:
    fail("GP522", f"{path} holds {found}", help=f"save {wanted}")


# pixels --------------------------------------------------------------------------------------------


def _preprocessor(source: Path) -> Mapping[str, Any]:
    """What preprocessor_config.json says; nothing where there is none that can be read."""
    try:
        found = json.loads((source / PREPROCESSOR).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _normalisation(
    said: Mapping[str, Any], kind: str, channels: int
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """(scale, mean, std) of uint8 pixels: those of the source's image processor, else to -1 … 1.

    Pixels in floating point are taken as they are.
    """
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    if kind == "f":
        return 1.0, zeros, ones
    factor = said.get("rescale_factor")
    scale = float(factor) if isinstance(factor, int | float) and factor > 0 else 1 / 255
    scale = 1.0 if said.get("do_rescale") is False else scale
    if said.get("do_normalize") is False:
        return scale, zeros, ones
    mean, std = said.get("image_mean"), said.get("image_std")
    if _numbers(mean, channels) and _numbers(std, channels) and min(std) > 0:
        return scale, tuple(map(float, mean)), tuple(map(float, std))
    return scale, (0.5,) * channels, (0.5,) * channels


def _numbers(found: Any, count: int) -> TypeGuard[list[float]]:
    return isinstance(found, list) and len(found) == count and all(type(x) in (int, float) for x in found)
