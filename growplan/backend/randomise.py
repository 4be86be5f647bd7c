"""A checkpoint of random weights, every parameter of it, drawn by growplan's own generator."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from growplan.backend.dtypes import raw_bytes
from growplan.backend.philox import key_of, normal, words
from growplan.checkpoint.config import write_config
from growplan.checkpoint.layout import plan_shards
from growplan.checkpoint.writer import Writer
from growplan.families.model import Model, Param

SPREAD = 0.3  # standard deviation of biases, and of norm scales about 1


def write_random(model: Model, directory: Path, seed: int) -> None:
    """Write `model` (F64) to an existing, empty `directory`: config.json and random weights.

    Matrices have standard deviation 1/sqrt(fan in), embeddings 1, biases and norms `SPREAD`:
    a norm scale of 1 or a bias of 0 would hide a forgotten rewrite. The same model and seed
    give the same bytes.
    """
    specs = {name: ("F64", model.shape(param)) for name, param, _ in model.tensors()}
    write_config(directory, dict(model.config))
    with Writer(directory, plan_shards(specs)) as writer:
        for name, param, _ in model.tensors():
            tensor = draw(model, param, f"{seed}/{name}")
            writer.write(name, raw_bytes(tensor))
        writer.finish()


def draw(model: Model, param: Param, key: str) -> Tensor:
    """One parameter, float64, in its shape on disk."""
    shape = model.shape(param)
    count = 1
    for size in shape:
        count *= size
    z = normal(words(key_of(key), 0, count)).reshape(shape)
    module = model.modules[param.module]
    if param.cols is None:
        centre = 1.0 if module.is_norm and param.leaf == "weight" else 0.0
        return z.mul_(SPREAD).add_(centre)
    if module.kind == "embedding":
        return z
    return z.div_(param.cols.size(model.sizes) ** 0.5)
