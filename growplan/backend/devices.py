"""`--device cpu | cuda[:k] | auto`."""

from __future__ import annotations

import re

import torch

from growplan.diagnostics import fail


def resolve_device(name: str = "cpu") -> torch.device:
    """The torch device of a command line word; `auto` is CUDA where there is one.

    Raises GP508 for an unknown word, a missing CUDA or an index past the last device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        fail("GP508", f"there is no device `{name}`", help="`cpu`, `cuda`, `cuda:1`, or `auto`")
    if not torch.cuda.is_available():
        fail(
            "GP508",
            f"`{name}` is not available: torch {torch.__version__} sees no CUDA device",
            help="`--device auto` takes what there is",
        )
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if index >= count:
        message = f"there is no `{name}`: {count} CUDA devices, counted from 0"
        fail("GP508", message, help=f"name one of 0 to {count - 1}, or give `--device auto`")
    return torch.device("cuda", index)
