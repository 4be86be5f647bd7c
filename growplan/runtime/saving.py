"""Files that torch and safetensors write, on a disk that fills up: both hide what the system said."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from growplan.checkpoint.files import guard

NUMBER = re.compile(r"os error (\d+)")  # in what safetensors says
WRITER = ("inline_container", "PytorchStreamWriter")  # in what torch says where its own writer failed


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Around `torch.save`, `save_file`, `save_pretrained` to `path`: GP430 to GP432 on an I/O error."""
    with guard(path, "write"):
        try:
            yield
        except (RuntimeError, SafetensorError) as error:
            number = _number(error)
            if number is None:
                raise
            raise OSError(number, os.strerror(number)) from error


def _number(error: BaseException) -> int | None:
    """The system's number of what went wrong; EIO where a writer says no more, None for the rest."""
    hidden = error.__context__
    while hidden is not None:  # torch fails once more when it closes the file
        if isinstance(hidden, OSError) and hidden.errno is not None:
            return hidden.errno
        hidden = hidden.__context__
    if found := NUMBER.search(str(error)):
        return int(found[1])
    return errno.EIO if any(word in str(error) for word in WRITER) else None
