"""The rules of what image models have alone, against dense matrices: tokens before patches, two heads."""

from __future__ import annotations

import numpy as np
import pytest

from growplan.algebra import Expansion
from growplan.check.acts import Act
from growplan.check.rules import Refusal
from growplan.check.types import TypeOps, type_model
from growplan.methods.base import Candidate
from tests.check.dense import dense, expand
from tests.families.test_images import model

MAPS = {
    "even copies": Expansion.circular(48, 96),
    "mean rows": Expansion.padded(48, 72, "mean"),
    "zero rows": Expansion.appended(48, 60, "zero"),
    "uneven copies": Expansion.circular(48, 70),
}


@pytest.mark.parametrize("label", MAPS)
def test_any_map_of_the_stream_passes_the_embedding(label: str) -> None:
    """[E token; E (W patch + b)] + E positions = E ([token; W patch + b] + positions)."""
    e, rng = MAPS[label], np.random.default_rng(0)
    vit = model()
    ops = TypeOps(vit, Candidate(label, {"hidden": e}))
    patches = vit.modules["embeddings.patch_embeddings.projection"]
    typed = ops.op("prepend", (vit.modules["embeddings.cls_token"], ops.module(patches, Act(None))), {})
    typed = ops.add(typed, ops.module(vit.modules["embeddings.position_embeddings"], Act(None)))
    assert typed.map == e

    w, b, token = rng.normal(size=(48, 48)), rng.normal(size=48), rng.normal(size=48)
    rows, pixels = rng.normal(size=(26, 48)), rng.normal(size=(25, 48))
    m = dense(e)
    old = np.concatenate([token[None], pixels @ w.T + b]) + rows
    new = np.concatenate([(m @ token)[None], pixels @ (m @ w).T + m @ b]) + rows @ m.T
    assert np.allclose(new, expand(e, old, rng), rtol=0, atol=1e-12)


def test_a_token_of_another_map_is_refused() -> None:
    """Rows of two maps are E of the old rows for no E: the class token would be read as the patches are."""
    vit = model()
    e, other = Expansion.circular(48, 96), Expansion.appended(48, 96, "zero")
    ops = TypeOps(vit, Candidate("even copies", {"hidden": e}))
    with pytest.raises(Refusal):
        ops.op("prepend", (vit.modules["embeddings.cls_token"], Act(other)), {})
    rows = np.random.default_rng(1).normal(size=(3, 48))
    mixed = np.concatenate([rows[:1] @ dense(e).T, rows[1:] @ dense(other).T])
    for m in (dense(e), dense(other)):
        assert np.abs(mixed - rows @ m.T).max() > 0.1


def test_the_average_of_two_heads() -> None:
    vit = model()
    e, other = Expansion.circular(4, 8), Expansion.appended(4, 8, "zero")
    ops = TypeOps(vit, Candidate("", {}))
    assert ops.op("average", (Act(e), Act(e)), {}).map == e
    a, b = np.random.default_rng(2).normal(size=(2, 4))
    assert np.allclose((dense(e) @ a + dense(e) @ b) / 2, dense(e) @ ((a + b) / 2), rtol=0, atol=1e-13)
    with pytest.raises(Refusal):
        ops.op("average", (Act(e), Act(other)), {})
    mixed = (dense(e) @ a + dense(other) @ b) / 2
    for m in (dense(e), dense(other)):
        assert np.abs(mixed - m @ ((a + b) / 2)).max() > 0.1


def test_the_pooler_keeps_its_width() -> None:
    """tanh takes no mean rows; the pooler's own axis has none."""
    typing = type_model(model(), Candidate("mean rows", {"hidden": MAPS["mean rows"]}))
    pooler = typing.typings["pooler.dense"]
    assert (pooler.e_out.is_identity, pooler.e_out.size) == (True, 48)
    assert not typing.violations
