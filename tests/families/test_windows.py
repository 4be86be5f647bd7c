"""Sliding windows while a model grows deeper: every layer keeps what it saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from growplan.check import check_plan
from growplan.checkpoint.config import read_config, write_config
from growplan.families import bind, detect
from growplan.language import parse_text
from tests.families.configs import CONFIGS, model

ON = {"use_sliding_window": True, "sliding_window": 4}
F, S = "full_attention", "sliding_attention"
CASES: list[tuple[dict[str, Any], str, list[str], int]] = [
    ({**ON, "max_window_layers": 1}, "stack depth x2", [F, S, S, F, S, S], 1),
    ({**ON, "max_window_layers": 1}, "stack depth x2 via interlace", [F, F, S, S, S, S], 2),
    ({**ON, "max_window_layers": 3}, "stack depth x2", [F] * 6, 6),
    ({**ON, "layer_types": [S, F, F]}, "deepen depth 3→4", [S, F, F, F], 28),
    ({}, "stack depth x2", [F] * 6, 28),
]


@pytest.mark.parametrize(("config", "steps", "kinds", "first"), CASES, ids=range(len(CASES)))
def test_depth(config: dict[str, Any], steps: str, kinds: list[str], first: int, tmp_path: Path) -> None:
    """The written config says every layer's kind, and transformers reads the same back."""
    import transformers

    grown = check_plan(parse_text(steps, "p.grow", "dsl"), model("qwen2", **config)).target
    assert grown.config["layer_types"] == kinds
    assert grown.windows == tuple(4 if kind == S else None for kind in kinds)
    assert grown.config.get("max_window_layers", 28) == first
    write_config(tmp_path, grown.config)
    found = read_config(tmp_path)
    assert bind(detect(found), found).windows == grown.windows
    stock = transformers.AutoConfig.from_pretrained(tmp_path)
    assert stock.layer_types == kinds


def test_width_leaves_windows_alone() -> None:
    source = model("qwen2", **ON, max_window_layers=1)
    grown = check_plan(parse_text("widen hidden 48→72 via fpi", "p.grow", "dsl"), source).target
    assert grown.windows == source.windows == (None, 4, 4)
    one_size = CONFIGS["mistral"] | {"sliding_window": 4}
    deep = check_plan(parse_text("stack depth x2", "p.grow", "dsl"), model("mistral", **one_size)).target
    assert deep.windows == (4,) * 6
