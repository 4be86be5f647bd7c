"""The cost model of training against the products that torch counts."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from growplan.check.trained import trained
from growplan.check.training_cost import stage_cost
from growplan.checkpoint.config import read_config
from growplan.families import bind, detect
from growplan.families.model import Model
from growplan.methods.training import training_of
from growplan.runtime.freezing import selected, training_only
from growplan.runtime.two_stage import SubModels
from tests.tiny import tiny_checkpoint

ROWS, TOKENS = 2, 16


def counted(model: torch.nn.Module) -> float:
    """FLOPs of all products with a weight, of one token, forward and backward."""
    ids = torch.randint(0, 31, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    found = {str(op): number for op, number in counter.get_flop_counts()["Global"].items()}
    return sum(found.get(op, 0) for op in ("aten.mm", "aten.addmm")) / (ROWS * TOKENS)


def loaded(folder: Path, family: str, architecture: str) -> tuple[torch.nn.Module, Model]:
    import transformers

    tiny_checkpoint(family, folder, architecture=architecture, num_hidden_layers=4)
    config = read_config(folder)
    model = getattr(transformers, architecture).from_pretrained(folder, attn_implementation="eager")
    return model, bind(detect(config), config)


def cost(bound: Model, words: tuple[str, ...], sub_models: int = 0) -> float:
    part = trained(bound, words, (), tied="freeze", new=())
    training = training_of({"sub-models": sub_models}, 1, "c.txt")
    found = stage_cost(bound, training, part, None)
    return found.forward + found.backward


@pytest.mark.parametrize(
    "words", [("all",), ("top 2",), ("top 1",), ("embeddings",), ("head",), ("layers 1:3",), ("*.mlp.*",)]
)
@pytest.mark.parametrize(
    ("family", "architecture"), [("gpt2", "GPT2LMHeadModel"), ("llama", "LlamaForCausalLM")]
)
def test_products_are_those_that_torch_makes(
    tmp_path: Path, family: str, architecture: str, words: tuple[str, ...]
) -> None:
    model, bound = loaded(tmp_path, family, architecture)
    with training_only(model, selected(model, tmp_path, words, tied="freeze")):
        found, said = counted(model), cost(bound, words)
    spared = 0.0
    if words == ("*.mlp.*",):  # of the lowest trained layer: it has nothing to say to what it reads
        attention = 4 * bound.sizes["hidden"] ** 2
        spared = 2 * (attention + 2 * bound.sizes["hidden"] * bound.sizes["ffn"])
    assert said - spared <= found <= said


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_sub_models_cost_their_mean(tmp_path: Path, depth: int) -> None:
    model, bound = loaded(tmp_path, "gpt2", "GPT2LMHeadModel")
    models = SubModels.of(model, tmp_path, depth)
    found = {}
    for step in range(50):
        with models.at(step) as layers:
            found[layers] = counted(model)
    assert len(found) == len(models.depths)
    assert sum(found.values()) / len(found) == pytest.approx(cost(bound, (), depth), abs=1)


MODELS = {
    "gpt2": "GPT2LMHeadModel",
    "bert": "BertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "vit": "ViTForImageClassification",
}
WORDS = [("all",), ("top 1", "embeddings"), ("layers 1:3",), ("embeddings",), ("head",), ("*norm*", "top 1")]


@pytest.mark.parametrize("tied", ["train", "freeze"])
@pytest.mark.parametrize("family", MODELS)
def test_check_counts_the_parameters_that_the_runtime_trains(
    tmp_path: Path, family: str, tied: Literal["train", "freeze"]
) -> None:
    model, bound = loaded(tmp_path, family, MODELS[family])
    for words in WORDS:
        named = [
            p for word in words if word.startswith("*") for p in bound.tensors() if fnmatchcase(p[0], word)
        ]
        if any(word.startswith("*") for word in words) and not named:
            continue
        names = selected(model, tmp_path, words, tied=tied)
        found = sum(p.numel() for name, p in model.named_parameters() if name in names)
        part = trained(bound, words, (), tied=tied, new=())
        assert stage_cost(bound, training_of({}, 1, "c.txt"), part, None).trained == found, words
