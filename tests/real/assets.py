"""What the real-model tests share: where models lie, float64 copies, the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


def asset_folder() -> Path:
    """Where fetched models are kept between runs: $GROWPLAN_ASSETS or the user's cache."""
    default = Path.home() / ".cache" / "growplan-assets"
    return Path(os.environ.get("GROWPLAN_ASSETS", default)).expanduser()


def growplan(*arguments: str | Path, code: int = 0) -> str:
    """Run the command line in a process of its own; returns stdout."""
    command = [sys.executable, "-m", "growplan", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


def apply(plan: Path, model: Path, out: Path) -> Path:
    """`growplan apply`, then `growplan verify` of what it wrote."""
    growplan("apply", plan, "--model", model, "--out", out, "-q")
    growplan("verify", out, "-q")
    return out


def upcast(source: Path, target: Path) -> Path:
    """A copy of a single-file checkpoint with every float tensor in float64."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(source / "model.safetensors")
    wide = {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file(wide, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    (target / "config.json").write_text(json.dumps({**config, "dtype": "float64"}), encoding="utf-8")
    return target


def by_interpreter(folder: Path, ids: torch.Tensor) -> Mapping[str, torch.Tensor]:
    """Every output of the head through growplan's float64 interpreter."""
    from safetensors import safe_open

    from growplan.backend.interpreter import Interpreter
    from growplan.language.plan import Plan
    from growplan.pipeline import bind_source

    _, _, model = bind_source(Plan(), folder)
    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        return Interpreter(model, tensors.get_tensor).outputs(ids)


def load_clean(auto_class: type, folder: Path, **kwargs: object) -> torch.nn.Module:
    """`from_pretrained` with nothing missing, unexpected or mismatched; in eval mode."""
    model, info = auto_class.from_pretrained(  # type: ignore[attr-defined]
        folder, output_loading_info=True, **kwargs
    )
    assert not any(info.values()), info
    return model.eval()  # type: ignore[no-any-return]
