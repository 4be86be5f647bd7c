"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

import click

_LEAST = 10**6
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def byte_size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """`500MB`, `2GiB`, `1.5G`, or a plain number of bytes. Raises click.BadParameter."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(I?)B?", value.strip().upper())
    if match is None:
        raise click.BadParameter(f"{value!r} is not a size; write for example 2GB or 512MiB", ctx, param)
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit])
    if size < _LEAST:
        raise click.BadParameter(f"{value} is too small to work in; 1MB is the least", ctx, param)
    return size
