"""Tiny models grown behind masks, loaded in float64 with their masks attached."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growplan.apply import ApplyResult, apply
from growplan.language import parse_text
from growplan.runtime import Attached, attach
from tests.float64 import load_float64
from tests.tiny import tiny_checkpoint

CLASSES = {
    "gpt2": "GPT2LMHeadModel",
    "bert": "BertForMaskedLM",
    "vit": "ViTForImageClassification",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "deit": "DeiTForImageClassification",
    "roberta": "RobertaForMaskedLM",
    "mixtral": "MixtralForCausalLM",
}
IMAGES = ("vit", "deit")
LINES = {
    "hidden": "mask-in hidden 48→72 over 10 steps",
    "ffn": "mask-in ffn x2 over 10 steps",
    "depth": "mask-in depth 2→5 over 10 steps, place between",
    "heads": "mask-in heads 6→9; widen hidden 48→72 via fpi, split even",
    "all": "mask-in ffn x2 over 10 steps; mask-in depth 2→3 over 10 steps, ramp cosine, delay 3;"
    " mask-in hidden 48→72 over 10 steps, init normal(1.0)",
    "twice": "mask-in hidden 48→60; mask-in hidden to 72; mask-in ffn x2; mask-in ffn x2; mask-in depth 2→3;"
    " mask-in depth 3→4; mask-in heads 6→9",
}


@dataclass
class Grown:
    """A source at `folder`/m and what `line` makes of it at `folder`/g."""

    family: str
    folder: Path
    result: ApplyResult

    @classmethod
    def by(cls, line: str, family: str, folder: Path) -> Grown:
        tiny_checkpoint(family, folder / "m", architecture=CLASSES[family], dtype="float64")
        text = f"source {folder / 'm'}\ntarget {folder / 'g'}\nseed 5\n{line}"
        return cls(family, folder, apply(parse_text(text, "p.grow", "dsl"), stock=False))

    @cached_property
    def inputs(self) -> Tensor:
        random = torch.Generator().manual_seed(0)
        if self.family in IMAGES:
            return torch.randn((3, 2, 20, 20), generator=random, dtype=torch.float64)
        return torch.randint(2, 31, (3, 16), generator=random)

    def load(self, name: str) -> Any:
        """The stock model of `m` or `g`, in float64."""
        return load_float64(self.folder / name, CLASSES[self.family])

    def logits(self, model: Any) -> Tensor:
        with torch.no_grad():
            found: Tensor = model(self.inputs).logits
        return found

    def attached(self) -> tuple[Any, Attached]:
        model = self.load("g")
        return model, attach(model, self.folder / "g")

    def error(self, model: Any) -> float:
        """Max abs difference of the logits to the source's, over their spread."""
        old = self.logits(self.load("m"))
        return float((self.logits(model) - old).abs().max() / old.std())
