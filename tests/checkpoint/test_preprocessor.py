"""preprocessor_config.json follows the image that the model reads, and nothing else in it moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from growplan.checkpoint.sidecars import Carry, Resize, Rewrite, SidecarAction, plan_sidecars
from growplan.diagnostics import DiagnosticError

LARGER = Resize((48, 48), (2, 2), (224, 384))
VIT = {"do_resize": True, "image_mean": [0.5, 0.5, 224], "size": {"height": 224, "width": 224}}
DEIT = {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "size": {"shortest_edge": 256}}
OLD = {"do_center_crop": True, "crop_size": 224, "size": 256, "rescale_factor": 0.00392156862745098}


def planned(folder: Path, data: Any, resize: Resize | None = LARGER) -> SidecarAction:
    text = data if isinstance(data, str) else json.dumps(data, indent=2)
    (folder / "preprocessor_config.json").write_text(text)
    (action,) = plan_sidecars(folder, resize)
    return action


@pytest.mark.parametrize(
    ("data", "changed"),
    [
        (VIT, {"size": {"height": 384, "width": 384}}),
        (DEIT, {"crop_size": {"height": 384, "width": 384}, "size": {"shortest_edge": 438}}),
        (OLD, {"crop_size": 384, "size": 438}),
        ({"size": 224, "do_center_crop": False, "crop_size": 100}, {"size": 384}),
    ],
)
def test_sizes_follow(data: dict[str, Any], changed: dict[str, Any], tmp_path: Path) -> None:
    action = planned(tmp_path, data)
    assert isinstance(action, Rewrite)
    assert json.loads(action.text) == {**data, **changed}
    assert all("→" in change for change in action.changes)


@pytest.mark.parametrize("resize", [None, Resize((48, 96), (2, 4)), Resize((48, 96), (2, 4), (224, 224))])
def test_it_is_carried_where_the_image_stays(resize: Resize | None, tmp_path: Path) -> None:
    assert isinstance(planned(tmp_path, VIT, resize), Carry)


def test_sizes_that_are_not_used_stay(tmp_path: Path) -> None:
    assert isinstance(planned(tmp_path, {"do_resize": False, "size": 100}), Carry)
    assert isinstance(planned(tmp_path, {"feature_extractor_type": "ViTFeatureExtractor"}), Carry)


@pytest.mark.parametrize(
    ("data", "place"),
    [({"size": 256}, "256"), ({**DEIT, "crop_size": 200}, "200"), ("[1]", None), ('{"size": ', None)],
)
def test_what_cannot_follow_is_refused(data: Any, place: str | None, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        planned(tmp_path, data)
    (found,) = caught.value.diagnostics
    assert found.code == "GP442" and found.help
    if place is not None:
        assert found.span is not None
        assert found.span.source.text[found.span.start : found.span.end] == place


def test_through_apply(tmp_path: Path) -> None:
    from growplan.apply import apply
    from growplan.language import parse_text
    from tests.tiny import tiny_checkpoint

    source = tiny_checkpoint("vit", tmp_path / "source")
    (source / "preprocessor_config.json").write_text('{"size": {"height": 20, "width": 20}}')
    plan = parse_text("widen image 20→24 via resample", "<test>", "dsl")
    apply(plan, tmp_path / "out", model_dir=source, stock=False)
    written = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert written == {"size": {"height": 24, "width": 24}}
