"""Models behind masks that are copied, sent elsewhere, wrapped and thrown away; states that fit no model."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.runtime import attach
from growplan.runtime.export import export
from growplan.runtime.hooks import attached_to
from growplan.runtime.state import STATE
from tests.runtime.grown import Grown

LINE = "mask-in ffn x2 over 10 steps; mask-in depth 2→3 over 10 steps; mask-in hidden 48→72 over 10 steps"


@pytest.fixture(scope="module", params=["gpt2", "bert"])
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return Grown.by(LINE, request.param, tmp_path_factory.mktemp(request.param))


def refusal(model: Any, directory: Path) -> str:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(DiagnosticError) as error:
        attach(model, directory)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return error.value.diagnostics[0].code


def test_a_copy_has_weights_of_its_own_behind_the_same_masks(grown: Grown) -> None:
    model, attached = grown.attached()
    attached.at(5)
    average = copy.deepcopy(model)  # as torch.optim.swa_utils.AveragedModel makes one
    wanted = grown.logits(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5
    assert torch.equal(grown.logits(average), wanted)
    attached.at(attached.end)
    assert attached.finish() is model
    assert torch.equal(grown.logits(average), grown.logits(grown.load("g")))
    assert refusal(average, grown.folder / "g") == "GP584"


def test_a_pickled_model_is_the_same(grown: Grown) -> None:
    model, attached = grown.attached()
    attached.at(5)
    assert torch.equal(grown.logits(pickle.loads(pickle.dumps(model))), grown.logits(model))


def test_a_model_that_nobody_holds_is_freed(grown: Grown) -> None:
    model, attached = grown.attached()
    seen = weakref.ref(model)
    del model, attached
    gc.collect()
    assert seen() is None


def test_what_others_put_into_a_module_stays(grown: Grown) -> None:
    """accelerate, as `device_map` uses it, replaces `forward` of modules."""
    model, calls = grown.load("g"), list[int]()
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.LayerNorm))
    stock = norm.forward

    def forward(x: Any) -> Any:
        calls.append(1)
        return stock(x)

    norm.forward = forward  # type: ignore[method-assign]
    attached = attach(model, grown.folder / "g")
    assert grown.error(model) < 1e-10 and calls
    attached.at(attached.end)
    attached.finish()
    calls.clear()
    grown.logits(model)
    assert calls and not attached_to(model)


def test_masks_keep_the_types_of_autocast(grown: Grown) -> None:
    model = grown.load("g").float()
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.LayerNorm))
    x = torch.randn(2, 72, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        plain = norm(x).dtype
        attach(model, grown.folder / "g")
        assert norm(x).dtype == plain


def test_a_model_of_other_sizes(tmp_path: Path) -> None:
    grown = Grown.by("mask-in hidden 48→72", "gpt2", tmp_path)
    assert refusal(grown.load("m"), grown.folder / "g") == "GP582"


def _site(document: Any, kind: str) -> Any:
    return next(site for mask in document["masks"] for site in mask["sites"] if site["kind"] == kind)


def _set(kind: str, key: str, value: Any) -> Callable[[Any], None]:
    return lambda document: _site(document, kind).update({key: value})


WRONG: dict[str, tuple[Callable[[Any], None], str]] = {
    "no masks": (lambda d: d.update(masks=[]), "GP581"),
    "two of one step": (lambda d: d["masks"].append(d["masks"][0]), "GP581"),
    "half a pair": (_set("norm", "at", [[48]]), "GP581"),
    "falling": (_set("norm", "at", [[72, 48]]), "GP581"),
    "below 0": (_set("input", "at", [[-3, 5]]), "GP581"),
    "no units": (_set("input", "at", []), "GP581"),
    "too far": (_set("norm", "at", [[48, 73]]), "GP582"),
    "no such layer": (_set("input", "layers", [7]), "GP582"),
    "outside of layers": (_set("input", "layers", None), "GP582"),
    "negative layer": (_set("input", "layers", [-1]), "GP581"),
    "another kind": (_set("norm", "kind", "input"), "GP582"),
    "no norm": (_set("input", "kind", "norm"), "GP582"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_state_that_fits_no_model(name: str, grown: Grown, tmp_path: Path) -> None:
    model = grown.load("g")
    document = json.loads((grown.folder / "g" / STATE).read_text())
    change, code = WRONG[name]
    change(document)
    for file in (grown.folder / "g").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / STATE).write_text(json.dumps(document))
    assert refusal(model, tmp_path) == code
    assert not attached_to(model)


@pytest.mark.parametrize(
    "name", ["too far", "no such layer", "outside of layers", "another model", "embedding"]
)
def test_an_export_holds_a_state_to_its_model_too(name: str, tmp_path: Path) -> None:
    grown = Grown.by("mask-in ffn x2 over 10 steps", "gpt2", tmp_path)
    model, masks = grown.attached()
    masks.at(4)
    model.save_pretrained(tmp_path / "half")
    masks.save(tmp_path / "half")
    document = json.loads((tmp_path / "half" / STATE).read_text())
    changes: dict[str, Callable[[Any], None]] = {
        "too far": _set("input", "at", [[192, 10**9]]),
        "no such layer": _set("input", "layers", [7]),
        "outside of layers": _set("input", "layers", None),
        "another model": lambda d: d["sizes"].update(ffn=192),
        "embedding": lambda d: _site(d, "input").update(module="wte", layers=None),
    }
    changes[name](document)
    (tmp_path / "half" / STATE).write_text(json.dumps(document))
    with pytest.raises(DiagnosticError) as error:
        export(tmp_path / "half", tmp_path / "out")
    assert error.value.diagnostics[0].code == "GP582" and not list(tmp_path.glob("out*"))
