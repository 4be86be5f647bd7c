"""What a stage trains is what `check` said that it would."""

from __future__ import annotations

import pytest
import torch

from growplan.checkpoint.config import read_config
from growplan.diagnostics import DiagnosticError
from growplan.families import detect
from growplan.pipeline import check_schedule
from growplan.training.loaded import Loaded, load
from growplan.training.parts import trained
from tests.training.runs import read, write_plan, write_source

LISTS = ("", "embeddings", "head", "[embeddings, head]", "top 1", "[layers 0:1, head]", "'*.ln_?.*'", "all")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    source = write_source(tmp_path_factory.mktemp("parts"))
    return load(source, torch.device("cpu"), detect(read_config(source)))


@pytest.mark.parametrize("only", LISTS)
@pytest.mark.parametrize("tied", ["train", "freeze"])
def test_as_many_parameters_as_check_says(only: str, tied: str, loaded: Loaded) -> None:
    source = loaded.directory
    sizes = {name: p.numel() for name, p in loaded.module.named_parameters()}
    for frozen in LISTS[:-1]:
        said = {"train-only": only, "freeze": frozen}
        words = "".join(f", {key}: {named}" for key, named in said.items() if named)
        path = write_plan(
            source.parent, f"{{name: a, train: {{for: 1 steps, tied: {tied}}}{words}}}", "words"
        )
        try:
            (stage,) = check_schedule(read(path)).stages
        except DiagnosticError as error:
            assert [d.code for d in error.diagnostics] == ["GP590"]  # nothing is left
            continue
        found = trained(stage, loaded, source)
        assert sum(sizes[name] for name in (sizes if found is None else found)) == stage.cost.trained, words
