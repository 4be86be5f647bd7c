"""A folder of models and plans as the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.made import write_models


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write_models(tmp_path))
    return tmp_path
