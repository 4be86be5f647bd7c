"""The tensors of a checkpoint against those a model has: prefix, names, shapes, dtype."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from growplan.checkpoint.dtypes import FLOATS
from growplan.families.model import Model, Module, Param
from growplan.families.problems import Problems, listed


class TensorLike(Protocol):
    """What a safetensors header says of a tensor."""

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


Tensors = Mapping[str, TensorLike]
Same = Callable[[str, str], bool]


def best_match(candidates: Sequence[Model], tensors: Tensors) -> Model:
    """The candidate, under the prefix and leaf names in use, that the stored names fit best.

    Fewest missing, then most present; judged on layer 0 and what stands outside the layers.
    """
    prefixes = list(dict.fromkeys(cls.prefix for cls in candidates[0].family.classes))
    best: tuple[tuple[int, int], Model] | None = None
    for candidate in candidates:
        for prefix in dict.fromkeys([candidate.prefix, "", *prefixes]):
            model = with_stored_leaves(replace(candidate, prefix=prefix), tensors)
            names = [model.tensor_name(p, 0 if p.in_layer else None) for p in _first(model)]
            present = sum(name in tensors for name in names)
            score = (len(names) - present, -present)
            if best is None or score < best[0]:
                best = score, model
    assert best is not None
    return best[1]


def _first(model: Model) -> Iterator[Param]:
    """Every parameter once; of the first expert where each has its own."""
    return (model.of_experts(param)[0] for param in model.params())


def with_stored_leaves(model: Model, tensors: Tensors) -> Model:
    """The model with `gamma` and `beta` where norms are stored so (BERT's first checkpoints)."""
    modules = dict(model.modules)
    for name, module in modules.items():
        old = replace(module, leaf_names=("gamma", "beta"))
        if module.is_norm and _stored(model, old, tensors) and not _stored(model, module, tensors):
            modules[name] = old
    return replace(model, modules=modules) if modules != model.modules else model


def _stored(model: Model, module: Module, tensors: Tensors) -> bool:
    names = (model.tensor_name(p, 0 if p.in_layer else None) for p in module.params)
    return all(name in tensors for name in names)


def check_tensors(model: Model, tensors: Tensors, same: Same | None, problems: Problems) -> Model:
    """The model with its dtype, buffers and dropped copies; everything wrong is reported.

    Reports GP330 (missing), GP331 (unexpected), GP332 (shape), GP333 and GP334 (dtype), GP335
    (a stored copy of a tied tensor that `same` does not confirm).
    """
    missing: list[str] = []
    dtypes: dict[str, str] = {}
    expected: set[str] = set()
    shapes = {(param.module, param.leaf): model.shape(param) for param in model.params()}
    for name, param, _ in model.tensors():
        expected.add(name)
        tensor = tensors.get(name)
        if tensor is None:
            missing.append(name)
            continue
        dtypes.setdefault(tensor.dtype, name)
        shape = shapes[param.module, param.leaf]
        if tuple(tensor.shape) != shape:
            _report_shape(model, name, param, tuple(tensor.shape), shape, problems)
    if missing:
        note = ("family", f"{model.family.name}, {model.architecture}, prefix `{model.prefix}`")
        help = "the checkpoint is incomplete, or config.json describes another model"
        message = f"{len(missing)} tensors are missing: {listed(missing)}"
        problems.add("GP330", message, notes=[note], help=help)
    extra, dropped = _others(model, tensors, expected, same, problems)
    dtype = _dtype(dtypes, problems) or model.dtype
    return replace(model, dtype=dtype, extra_tensors=extra, dropped=dropped)


def _report_shape(
    model: Model, name: str, param: Param, found: tuple[int, ...], wanted: tuple[int, ...], problems: Problems
) -> None:
    axes = [str(axis) for axis in param.stored]
    notes = [("needs", f"{list(wanted)} ({', '.join(axes)})"), ("found", f"{list(found)}")]
    help = "config.json and the checkpoint disagree about a size"
    problems.add("GP332", f"`{name}` has the wrong shape", notes=notes, help=help)


def _others(
    model: Model, tensors: Tensors, expected: set[str], same: Same | None, problems: Problems
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Buffers to carry and tied copies to drop, among the tensors the model does not have."""
    buffers = [re.compile(pattern) for pattern in model.family.buffers]
    copies = dict(_tied_copies(model))
    extra: list[str] = []
    dropped: list[str] = []
    unexpected: list[str] = []
    for name in tensors:
        if name in expected:
            continue
        base = name.removeprefix(model.prefix)
        if name in copies:
            if same is not None and copies[name] in tensors and same(name, copies[name]):
                dropped.append(name)
            else:
                _report_copy(name, copies[name], same, problems)
        elif any(pattern.fullmatch(base) for pattern in buffers):
            extra.append(name)
        else:
            unexpected.append(name)
    if unexpected:
        help = "config.json describes a smaller model or another class; load and save it with transformers"
        message = f"{len(unexpected)} tensors have no place in {model.architecture}: {listed(unexpected)}"
        problems.add("GP331", message, help=help)
    return tuple(extra), tuple(dropped)


def _tied_copies(model: Model) -> Iterator[tuple[str, str]]:
    """(tensor that may be stored twice, the one it repeats) of a tied model."""
    if not model.tied:
        return
    for copy, original in model.family.copies.items():
        names = {p.name: p for p in model.params()}
        if original in names and copy not in names:
            outside = copy.startswith(tuple(f"{o}." for o in model.family.outside))
            yield (copy if outside else model.prefix + copy), model.tensor_name(names[original])


def _report_copy(name: str, original: str, same: Same | None, problems: Problems) -> None:
    differs = same is not None
    message = f"`{name}` is stored beside `{original}`, but tie_word_embeddings is true"
    if differs:
        message += ", and they differ"
    help = (
        "set tie_word_embeddings to false, which is how transformers loads it"
        if differs
        else "load and save it with transformers: a true copy is then left out"
    )
    problems.add("GP335", message, help=help)


def _dtype(dtypes: Mapping[str, str], problems: Problems) -> str | None:
    for dtype, name in dtypes.items():
        if dtype not in FLOATS:
            help = f"weights are grown in {', '.join(sorted(FLOATS))}; convert the checkpoint first"
            problems.add("GP333", f"`{name}` is stored as {dtype}", help=help)
    if len(dtypes) > 1 and set(dtypes) <= FLOATS:
        notes = [(dtype, f"`{name}`") for dtype, name in dtypes.items()]
        help = "save it in one dtype: `model.to(torch.bfloat16).save_pretrained(DIR)`"
        problems.add("GP334", f"weights are stored in {len(dtypes)} dtypes", notes=notes, help=help)
    return next(iter(dtypes), None)
