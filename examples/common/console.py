"""What the demos share: headings, paths, and the command line run as a user would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n=== {text}", flush=True)


def show(path: Path) -> str:
    """The path as a user would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def growplan(*arguments: str) -> None:
    """Run the command line, and stop the demo if it fails."""
    print(f"\n$ growplan {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "growplan", *arguments])
    if done.returncode != 0:
        sys.exit(f"demo: growplan {arguments[0]} ended with exit code {done.returncode}")


def load(model_class: Any, folder: Path) -> Any:
    """The checkpoint through from_pretrained; refuses a load with anything amiss."""
    from transformers import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model, info = model_class.from_pretrained(folder, output_loading_info=True)
    amiss = {key: value for key, value in info.items() if value}
    if amiss:
        sys.exit(f"demo: {show(folder)} did not load cleanly: {amiss}")
    return model
