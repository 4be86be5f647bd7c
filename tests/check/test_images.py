"""Image, grid and positions grow together, by `resample` alone; whatever else is asked is refused."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.diagnostics import Diagnostic, DiagnosticError
from tests.check.models import check

DEIT = {"model_type": "deit", "architectures": ["DeiTForImageClassification"]}


def refused(name: str, steps: str, **config: Any) -> list[Diagnostic]:
    with pytest.raises(DiagnosticError) as caught:
        check(name, steps, **config)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(
    "line",
    [
        "widen positions 197→577 via resample",
        "widen image 224→384 via resample",
        "widen image_size to 384 via resample",
        "widen grid 14→24 via resample",
        "grow positions to 577, image to 384 via resample",
    ],
)
def test_any_of_them_says_the_others(line: str) -> None:
    typed = check("vit", line)
    (step,) = typed.steps
    sizes = typed.target.sizes
    assert (sizes["image"], sizes["grid"], sizes["positions"]) == (384, 24, 577)
    assert typed.target.config["image_size"] == 384
    assert str(step.proof.claim) == "none"
    assert step.text == line.replace(" to ", f" {14 if 'grid' in line else 224}→").replace(
        "image_size", "image"
    ).replace("positions 224→", "positions 197→")


def test_deit_has_a_token_more() -> None:
    assert check("vit", "widen positions 198→578 via resample", **DEIT).target.sizes["image"] == 384


def test_an_image_that_patches_do_not_fill_is_kept_as_it_is_said() -> None:
    """As transformers' convolution does, the rest is not read."""
    sizes = check("vit", "widen image 224→390 via resample").target.sizes
    assert (sizes["image"], sizes["grid"], sizes["positions"]) == (390, 24, 577)


def test_an_image_that_only_adds_a_margin_is_another_input_too() -> None:
    typed = check("vit", "widen image 224→230 via resample")
    assert typed.target.sizes["grid"] == typed.source.sizes["grid"] and typed.claim.strength == "none"
    assert refused("vit", "widen image 224→230 via resample, expect exact")[0].code == "GP204"


def test_no_size_moves() -> None:
    typed = check("vit", "widen positions 197→197 via resample")
    assert (typed.steps[0].candidate, typed.claim.strength) == ("unchanged", "exact")


@pytest.mark.parametrize(
    ("line", "code", "help"),
    [
        ("widen positions 197→578 via resample", "GP360", "use positions 577 (image 384) or 626 (image 400)"),
        (
            "grow image to 384, positions to 578 via resample",
            "GP360",
            "write one of `image` and `positions`; the other follows from it",
        ),
        ("widen positions 197→577", "GP361", "`widen positions 197→577 via resample` interpolates them"),
        ("widen image 224→384", "GP114", "methods for `widen image`: resample"),
        ("widen hidden x2 via resample", "GP114", None),
        (
            "widen positions 197→577 via resample, expect exact",
            "GP204",
            "keep the image at 224: nothing preserves what another image gives",
        ),
        ("widen patch x2 via resample", "GP114", None),
    ],
)
def test_refusals_and_ways_out(line: str, code: str, help: str | None) -> None:
    (found,) = refused("vit", line)
    assert found.code == code
    assert found.span is not None
    assert help is None or help in found.help


def test_tokens_have_no_grid() -> None:
    (found,) = refused("gpt2", "widen positions 1024→2048 via resample")
    assert found.code == "GP362"
    assert check("gpt2", "widen positions 1024→2048 via fpi").claim.strength == "exact"


def test_every_mistake_of_a_plan_is_told() -> None:
    found = refused(
        "vit", "widen positions 197→578 via resample; widen ffn 1→2; widen image to 100 via resample"
    )
    assert [d.code for d in found] == ["GP360", "GP102", "GP104"]


def test_deit_small_to_base_is_exact() -> None:
    """384 to 768 units, 6 to 12 heads, 1536 to 3072 in the ffn: the published pair of sizes."""
    small = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    for family in ({}, DEIT):
        typed = check("vit", "widen hidden 384→768; widen ffn 1536→3072", **small, **family)
        assert str(typed.claim) == "exact"
        assert (typed.target.sizes["heads"], typed.target.sizes["head_dim"]) == (12, 64)
        assert typed.target.sizes["depth"] == 12


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        ("widen positions to 200 via resample", "200"),
        ("grow image to 384, positions x2 via resample", "2"),
    ],
)
def test_the_size_that_no_image_has_is_marked(line: str, marked: str) -> None:
    (found,) = refused("vit", line)
    assert found.code == "GP360" and found.span is not None
    assert line[found.span.start : found.span.end] == marked


def test_an_image_that_stays_is_exact_everywhere() -> None:
    """Nothing grows, so that no input is left out."""
    typed = check("vit", "widen image 224→224 via resample")
    assert [str(step.proof.claim) for step in typed.steps] == ["exact"]
    assert str(typed.claim) == "exact"
