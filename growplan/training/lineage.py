"""What a stage leaves: a checkpoint with its optimizer, and growth.json, which says how it came to be."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from growplan.backend.dtypes import raw_bytes, torch_dtype
from growplan.backend.executor import reader_rows
from growplan.certificate import versions
from growplan.checkpoint.card import card_text, write_card
from growplan.checkpoint.config import read_config, write_config
from growplan.checkpoint.files import file_sha256, guard
from growplan.checkpoint.growth import GROWTH, TRAINED, Growth, write_growth
from growplan.checkpoint.growth_reader import parent_of, read_growth
from growplan.checkpoint.headers import Headers, read_headers
from growplan.checkpoint.layout import plan_shards
from growplan.checkpoint.output import Target
from growplan.checkpoint.reader import open_reader
from growplan.checkpoint.sidecars import carry_sidecars, plan_sidecars
from growplan.checkpoint.training import OPTIMIZER, STATE, carried_as_they_are
from growplan.checkpoint.writer import Writer
from growplan.language import canonical, plan_hash
from growplan.language.plan import Plan
from growplan.training.places import published

FROM = "model_of"
HALF = ("F16", "BF16")
FLOATS = (*HALF, "F32", "F64")


def publish_trained(
    out: Path, plan: Plan, start: Path, checkpoint: Path, facts: Mapping[str, Any], *, source: str
) -> Path:
    """Publish the last checkpoint of a stage that began with `start` as `out`.

    Weights, optimizer and the Trainer's state are those of `checkpoint`, all else is that of `start`.
    `facts` go into growth.json; `source` is the name of the model that the run began with.
    """
    headers = read_headers(checkpoint)
    with Target.open(out, sources=[start, checkpoint]) as target:
        to = target.partial
        _copy(checkpoint, to, (*headers.files, *filter(None, [headers.index])))
        config = dict(read_config(start).data)
        if read_config(start).dtype in HALF:
            config["dtype"] = "float32"
            config.pop("torch_dtype", None)
        write_config(to, config)
        state = (OPTIMIZER, STATE, *carried_as_they_are(checkpoint))
        _copy(checkpoint, to, state)
        files = ("config.json", *carry_sidecars(plan_sidecars(start), start, to), *state)
        growth = Growth(
            plan=canonical(plan),
            plan_hash=plan_hash(plan),
            seed=plan.seed,
            claim=TRAINED,
            source=source,
            source_files=_hashes(start, ("config.json", *read_headers(start).files)),
            steps=(),
            tensors={},
            versions=versions(),
            parent=parent_of(start),
            extra={TRAINED: dict(facts)},
        )
        _sign(to, growth, files, start)
        return target.publish().path


def is_last_model(out: Path, last: Path) -> bool:
    """Whether `out` is the plain checkpoint of what the last stage left, `last`."""
    there = read_growth(out) if published(out) else None
    return there is not None and there.extra.get(FROM) == file_sha256(last / GROWTH)


def publish_model(out: Path, last: Path, dtype: str | None) -> Path:
    """Publish what the last stage left as a plain checkpoint, in the type of the model it all began with."""
    headers, config, growth = read_headers(last), read_config(last), read_growth(last)
    assert growth is not None
    own = {FROM: file_sha256(last / GROWTH)}
    with Target.open(out, sources=[last], force=True) as target:
        to = target.partial
        rounded = dtype is not None and config.dtype != dtype
        if rounded and dtype is not None:
            _round(headers, to, dtype)
            name = str(torch_dtype(dtype)).removeprefix("torch.")
            write_config(to, {**config.data, "dtype": name})
        else:
            _copy(last, to, (*headers.files, *filter(None, [headers.index])))
            write_config(to, config.data)
        files = ("config.json", *carry_sidecars(plan_sidecars(last), last, to))
        _sign(to, replace(growth, extra={**growth.extra, **own}), files, last)
        return target.publish().path


def _sign(to: Path, growth: Growth, files: Iterable[str], source: Path) -> None:
    """growth.json with the hashes of what lies in `to`, and the card."""
    whole = replace(growth, tensors=tensor_hashes(read_headers(to)), files=_hashes(to, sorted(set(files))))
    write_growth(to, whole)
    body = _body(whole, growth.trained) if growth.trained else None
    write_card(to, card_text(whole, source, title=f"{growth.source}, grown", body=body))


def _body(growth: Growth, facts: Mapping[str, Any]) -> Iterator[str]:
    """What the card says below its title."""
    yield f"Grown from `{growth.source}` and trained by `growplan train`, to the end of `{facts['stage']}`."
    yield from ("", "## Plan", "", "```", *growth.plan.rstrip("\n").splitlines(), "```")
    yield from ("", "## Training of the last stage", "")
    data = f"`{facts['data']}` (sha256 {facts['data_sha256'][:12]})"
    spent = f"{facts['steps']:,} steps, {facts['tokens']:,} tokens of {data}, {facts['flops']:.3g} FLOPs"
    yield f"{spent}; loss on held-out data {facts['held_out']:.4g}."
    yield from ("", "`growth.json` has all of it, and the hashes; `growplan log` shows the stages before.")


def tensor_hashes(headers: Headers) -> dict[str, str]:
    """Tensor -> sha256 of its bytes."""
    with open_reader(headers) as reader:
        return {name: hashlib.sha256(reader.bytes_of(name)).hexdigest() for name in headers.tensors}


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: file_sha256(folder / name) for name in names}


def _copy(source: Path, to: Path, names: Iterable[str]) -> None:
    for name in names:
        with guard(to / name, f"copy {source / name} to"):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, to / name)


def _round(headers: Headers, to: Path, dtype: str) -> None:
    """Weights and their index, every tensor of floats in `dtype`."""
    specs = {
        name: (dtype if info.dtype in FLOATS else info.dtype, tuple(info.shape))
        for name, info in headers.tensors.items()
    }
    with open_reader(headers) as reader, Writer(to, plan_shards(specs)) as writer:
        read = reader_rows(reader)
        for name, (kept, shape) in specs.items():
            rounded = read(name, 0, shape[0] if shape else 1).to(torch_dtype(kept))
            writer.write(name, raw_bytes(rounded))  # which lives as long as the tensor
        writer.finish()
