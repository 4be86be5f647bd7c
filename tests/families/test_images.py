"""Families that read pixels: what their files say, and mistakes in what is theirs alone."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.diagnostics import DiagnosticError, Source
from growplan.families import Model, bind, builtin_families, detect, explicit_config, parse_family
from tests.families.configs import config

VIT: dict[str, Any] = {
    "architectures": ["ViTModel"],
    "model_type": "vit",
    "hidden_size": 48,
    "num_attention_heads": 6,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "image_size": 20,
    "patch_size": 4,
    "num_channels": 3,
}
TEXT = builtin_families()["vit"].read_text()


def model(**changes: Any) -> Model:
    described = config({**VIT, **changes})
    return bind(detect(described), described)


def test_shapes_on_disk() -> None:
    vit = model()
    shapes = {name: vit.shape(param) for name, param, _ in vit.tensors()}
    assert shapes["embeddings.cls_token"] == (1, 1, 48)
    assert shapes["embeddings.position_embeddings"] == (1, 26, 48)
    assert shapes["embeddings.patch_embeddings.projection.weight"] == (48, 3, 4, 4)
    assert shapes["embeddings.patch_embeddings.projection.bias"] == (48,)
    assert shapes["encoder.layer.1.attention.attention.query.weight"] == (48, 48)


def test_deit_has_two_tokens() -> None:
    deit = model(model_type="deit", architectures=["DeiTForImageClassificationWithTeacher"], num_labels=3)
    names = {name: deit.shape(param) for name, param, _ in deit.tensors()}
    assert deit.sizes["positions"] == 27
    assert names["deit.embeddings.distillation_token"] == (1, 1, 48)
    assert names["distillation_classifier.weight"] == (3, 48)
    assert deit.outputs == ("logits",)


def test_what_an_absent_key_means() -> None:
    vit = model(image_size=None, patch_size=None, num_channels=None)
    assert {a: vit.sizes[a] for a in ("image", "patch", "channels", "positions", "pooled")} == {
        "image": 224,
        "patch": 16,
        "channels": 3,
        "positions": 197,
        "pooled": 48,
    }


def test_head_dim_is_written_only_where_it_is_not_what_transformers_assumes() -> None:
    vit = model()
    both = explicit_config(vit, {**vit.sizes, "hidden": 96, "heads": 12})
    assert "head_dim" not in both
    assert both["pooler_output_size"] == 48  # the pooler keeps its width
    assert explicit_config(vit, {**vit.sizes, "hidden": 96})["head_dim"] == 8
    assert explicit_config(vit, {**vit.sizes, "head_dim": 12})["head_dim"] == 12


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("image_size", [20, 24], "GP315"),
        ("pooler_act", "relu", "GP313"),
        ("image_size", 3, "GP316"),
        ("mask_ratio", 0.75, "GP312"),
    ],
)
def test_configs_that_are_refused(key: str, value: Any, code: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        model(**{key: value})
    assert code in [d.code for d in caught.value.diagnostics]
    if value == [20, 24]:
        assert len(caught.value.diagnostics) == 1, "grid and positions follow; the config alone is at fault"


TOKEN = "parameter hidden, stored 1x1"
EDITS = [
    ("input: image", "input: sound", "GP342", "sound"),
    ("input: image\n", "", "GP344", None),  # then `pixels` has no value
    (TOKEN, "parameter hidden, stored 2x1", "GP343", "parameter hidden, stored 2x1"),
    (TOKEN, "parameter hidden, bias", "GP343", "parameter hidden, bias"),
    ("channels*patch*patch -> hidden", "channels + patch -> hidden", "GP343", None),
    ("patches channels*patch*patch -> hidden", "patches hidden", "GP343", None),
    ("heads, sparing ", "heads, spare ", "GP343", "head_dim ?? hidden // heads, spare"),
    ("prepend(embeddings.cls_token, ", "prepend(embeddings.position_embeddings, ", "GP344", None),
    ("prepend(embeddings.cls_token, ", "prepend(layernorm, ", "GP344", None),
    ("x = x + embeddings.position_embeddings(positions)", "x = embeddings.cls_token(x)", "GP343", None),
    ("parameter hidden, stored", "parameter ffn, stored", "GP345", None),
    ("classifier(first(layernorm(x)))", "average(classifier(first(x)), first(x))", "GP345", None),
]


@pytest.mark.parametrize(("old", "new", "code", "place"), EDITS, ids=range(len(EDITS)))
def test_mistakes(old: str, new: str, code: str, place: str | None) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    with pytest.raises(DiagnosticError) as caught:
        parse_family(Source("mine.yaml", text))
    found = [
        (d.code, text[d.span.start : d.span.end].strip() if d.span else "") for d in caught.value.diagnostics
    ]
    assert code in [c for c, _ in found], found
    assert place is None or (code, place) in found
