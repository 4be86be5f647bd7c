"""The last check, through the stock transformers class. Imports transformers when called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.inputs import BATCH, TOKENS, resized
from growplan.backend.maps import apply, determined
from growplan.backend.probes import spread_of
from growplan.diagnostics import fail

ROUNDING = {"F64": 1e-3, "F32": 1e-2, "F16": 0.5, "BF16": 0.5}
"""What a forward pass in this type may round, over the spread: SmolLM2 1.4e-5 in F32, tiny bf16 models
up to 0.05; F64 allows for the parts that transformers keeps in float32. A wrong rule gives about 1."""
FIELDS = {"hidden": "last_hidden_state", "pooled": "pooler_output", "logits": "logits"}


@dataclass(frozen=True)
class StockDifference:
    """Max abs difference of one output of the stock class, and the spread of that output.

    `typical`: the median over tokens of their max abs difference.
    """

    output: str
    error: float
    spread: float
    typical: float


Problems = dict[str, set[str]]


def load_stock(directory: Path | str) -> tuple[Any, Problems]:
    """(model in eval mode, what from_pretrained reports) for the class that config.json names."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    directory = Path(directory)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    name = (config.get("architectures") or ["AutoModel"])[0]
    loader = getattr(transformers, name, transformers.AutoModel)
    experts = {"experts_implementation": "eager"} if "num_local_experts" in config else {}  # for any size
    model, info = loader.from_pretrained(directory, output_loading_info=True, dtype="auto", **experts)
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
    return model.eval(), {kind: {str(p) for p in info.get(kind, ())} for kind in kinds}


def refuse_problems(directory: Path | str, found: Problems, source: Problems) -> None:
    """GP507 for any tensor missing, unexpected or mismatched that is not so in the source too."""
    for kind, tensors in found.items():
        new = tensors - source.get(kind, set())
        if new:
            fail(
                "GP507",
                f"transformers reports {kind.replace('_', ' ')} in {directory}",
                notes=[("tensors", ", ".join(sorted(new)[:8]))],
                help="please report it with the plan",
            )


def compare_with_transformers(
    source: Path | str,
    target: Path | str,
    maps: Mapping[str, Expansion] | None = None,
    seed: int = 0,
    prepare: Callable[[Any], object] | None = None,
) -> tuple[StockDifference, ...]:
    """Load both directories with their stock classes and compare outputs on random inputs.

    Where the result reads larger images, it is given the same ones, resized; of outputs with a row
    for every patch the first is then compared, which is the class token's.

    `maps`: output -> E from source to target (`growplan.backend.outputs.output_maps`), for
    outputs whose width changed; others are compared as they are. `prepare` is called with the loaded
    result first. Raises GP507.
    """
    old, problems = load_stock(source)
    new, found = load_stock(target)
    refuse_problems(target, found, problems)
    if prepare is not None:
        prepare(new)
    inputs = _random_inputs(old.config, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        a, b = old(inputs), new(_fitted(inputs, new.config))
    out = []
    for name, field in FIELDS.items():
        x, y = getattr(a, field, None), getattr(b, field, None)
        if not isinstance(x, Tensor) or not isinstance(y, Tensor):
            continue
        e = (maps or {}).get(name) or Expansion.identity(x.shape[-1])
        if e.size != y.shape[-1]:
            continue
        if x.shape[:-1] != y.shape[:-1]:
            x, y = x[:, :1], y[:, :1]
        expected = apply(e, x.to(torch.float64))
        error = (expected - y.to(torch.float64)).abs()[..., determined(e)]
        typical = float(error.amax(-1).median()) if error.shape[-1] else 0.0
        out.append(StockDifference(name, float(error.max()), spread_of(expected), typical))
    return tuple(out)


def _random_inputs(config: Any, random: torch.Generator) -> Tensor:
    """Pixels for a config with an image size, else token ids.

    No more than fit behind the padding id, which RoBERTa counts positions from.
    """
    size = getattr(config, "image_size", None)
    if size is not None:
        return torch.randn((BATCH, config.num_channels, size, size), generator=random)
    positions = getattr(config, "max_position_embeddings", TOKENS)
    behind = positions - (getattr(config, "pad_token_id", None) or 0) - 1
    tokens = min(TOKENS, behind if behind > 0 else positions)
    return torch.randint(0, config.vocab_size, (BATCH, tokens), generator=random)


def _fitted(inputs: Tensor, config: Any) -> Tensor:
    return resized(inputs, config.image_size) if inputs.is_floating_point() else inputs


def hold_to_exact(differences: Iterable[StockDifference], dtype: str, *, routed: bool = False) -> None:
    """GP511 where the stock class is further off than any rounding of its forward pass.

    The interpreter and the checker both read the family file; this is what finds a family file
    that describes another model than transformers runs. Rounding may send a token of a mixture
    (`routed`) to another expert, which is no small difference: there the median token is held.
    """
    for difference in differences:
        error = difference.typical if routed else difference.error
        relative = error / difference.spread if difference.spread else error
        allowed = ROUNDING.get(dtype, 0.5)
        if not relative <= allowed:
            fail(
                "GP511",
                f"the plan is exact, and transformers gives other {difference.output} than before",
                notes=[
                    ("found", f"off by {relative:.2g} of the spread"),
                    ("allowed", f"{allowed:g} in {dtype}"),
                ],
                help="the family file and the model disagree; nothing was published",
            )
