"""Growing a case for real, and comparing what it computes with its source, in float64."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from growplan.apply import apply
from growplan.check.task import task_of
from growplan.check.typed import TypedPlan
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.reader import open_reader
from growplan.families.model import Model
from growplan.language import parse_text
from growplan.language.plan import Plan
from growplan.pipeline import bind_source
from tests.matrix.cases import Variant
from tests.tiny import tiny_checkpoint


@dataclass(frozen=True)
class Grown:
    source: Path
    target: Path
    typed: TypedPlan


def write_source(variant: Variant, path: Path, dtype: str = "float64") -> Path:
    return tiny_checkpoint(
        variant.family, path, architecture=variant.architecture, dtype=dtype, **variant.config
    )


def grow(source: Path, steps: str, target: Path, **kwargs: Any) -> Grown:
    """`DATA` in the steps stands for a file beside the target that the head of the source learns from."""
    if "DATA" in steps:
        steps = steps.replace("DATA", f'"{write_data(source, target)}"')
    plan = parse_text(steps, "<test>", "dsl")
    result = apply(plan, target, model_dir=source, stock=False, **kwargs)
    return Grown(source, target, result.typed)


def write_data(source: Path, target: Path) -> Path:
    """Images with labels, sequences with labels, or token ids, all random."""
    _, _, model = bind_source(Plan(), source)
    random, task, sizes = np.random.default_rng(0), task_of(model), model.sizes
    if task == "image":
        path = target.with_name(f"{target.name}.npz")
        shape = (12, sizes["channels"], sizes["image"], sizes["image"])
        np.savez(path, images=random.normal(size=shape), labels=np.arange(12) % sizes["labels"])
        return path
    ids = random.integers(1, sizes["vocab"], 600)
    if task == "sequence":
        path = target.with_name(f"{target.name}.jsonl")
        rows = [
            {"ids": row.tolist(), "label": i % sizes["labels"]} for i, row in enumerate(ids.reshape(-1, 6))
        ]
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path
    path = target.with_name(f"{target.name}.npy")
    np.save(path, ids)
    return path


def ids_for(vocab: int, positions: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(1, vocab, (3, min(positions, 20)), generator=generator)


def inputs_for(model: Model) -> torch.Tensor:
    """Token ids, or pixels in float64, that the model and what it grows to can read."""
    sizes = model.sizes
    if model.inputs == "text":
        return ids_for(sizes["vocab"], sizes["positions"])
    shape = (3, sizes["channels"], sizes["image"], sizes["image"])
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def by_interpreter(directory: Path, inputs: torch.Tensor) -> Mapping[str, torch.Tensor]:
    """Every output of the head through growplan's float64 interpreter."""
    from growplan.backend.executor import reader_rows
    from growplan.backend.interpreter import Interpreter

    _, _, model = bind_source(Plan(), directory)
    with open_reader(read_headers(directory)) as reader:
        rows = reader_rows(reader)
        shapes = read_headers(directory).tensors
        interpreter = Interpreter(model, lambda name: rows(name, 0, shapes[name].shape[0]))
        return interpreter.outputs(inputs)


def by_transformers(directory: Path, architecture: str, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every float output through the stock class; the load must be clean."""
    import transformers

    loader = getattr(transformers, architecture)
    model, info = loader.from_pretrained(
        directory,
        output_loading_info=True,
        dtype=torch.float64,
        attn_implementation="eager",
        experts_implementation="eager",
    )
    assert not any(info.values()), info
    with torch.no_grad():
        out = model.eval()(inputs)
    return {k: v for k, v in out.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}


def worst(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> float:
    """The largest difference over all outputs, relative to their spread in `a`.

    Where the last axis grew (hidden states, new vocabulary), the old units come first.
    """
    error = 0.0
    for key, x in a.items():
        y = b[key][..., : x.shape[-1]]
        error = max(error, float((x - y).abs().max()) / float(x.std()))
    return error
