"""Methods that copy: every block of the written file is the block of the source that the paper names.

Read from the two safetensors files alone, so that neither the graph nor its assertions are trusted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.matrix.run import Grown
from tests.methods.formula import DEPTH, MAP, expected, grown, maps_of

# new layer i of L* comes from which old layer of L (all counted from 0)
LAYER_SOURCES: dict[str, tuple[int, Callable[[int, int, int], int]]] = {
    "stack depth x2 via stackbert": (2 * DEPTH, lambda i, old, new: i % old),  # Gong et al. 2019, double.py
    "stack depth x3 via stackbert": (3 * DEPTH, lambda i, old, new: i % old),
    "stack depth to 5 via interlace": (5, lambda i, old, new: i * old // new),  # AquilaMoE, section 2.2
    "stack depth x2 via interlace": (2 * DEPTH, lambda i, old, new: i * old // new),
    "stack depth x2 via interpolate": (2 * DEPTH, lambda i, old, new: i // 2),  # AquilaMoE, section 2.2
    "stack depth via gstack, g 3": (3 * DEPTH, lambda i, old, new: i % old),  # arXiv 2405.15319, section 3
    "stack depth via solar, m 1": (4, lambda i, old, new: (0, 1, 1, 2)[i]),  # arXiv 2312.15166, section 3.1
    "stack depth to 5 via midas, block 1": (5, lambda i, old, new: (0, 1, 1, 1, 2)[i]),  # arXiv 2409.19044
    "stack depth to 5 via mslt": (5, lambda i, old, new: (0, 1, 2, 1, 2)[i]),  # arXiv 2011.13635, section 3.2
}
WRITES = re.compile(r"(c_proj|o_proj|down_proj|output\.dense)\.")
LAYER = re.compile(r"(?<=\.)(h|layer|layers)\.(\d+)\.")


def files(result: Grown) -> tuple[dict[str, MAP], dict[str, MAP]]:
    return load_file(result.source / "model.safetensors"), load_file(result.target / "model.safetensors")


@pytest.mark.parametrize("name", ["gpt2-tied", "bert-mlm", "vit-base", "llama-gqa"])
@pytest.mark.parametrize("steps", LAYER_SOURCES)
def test_every_layer_is_the_one_the_paper_names(name: str, steps: str, tmp_path: Path) -> None:
    depth, source_of = LAYER_SOURCES[steps]
    source, target = files(grown(name, steps, tmp_path))
    layers = set()
    for key, value in target.items():
        found = LAYER.search(key)
        old = key
        if found is not None:
            layers.add(int(found[2]))
            layer = source_of(int(found[2]), DEPTH, depth)
            old = LAYER.sub(f"{found[1]}.{layer}.", key)
        assert value.dtype == source[old].dtype and value.tobytes() == source[old].tobytes(), key
    assert layers == set(range(depth))
    per_layer = sum(".0." in key for key in source)
    assert len(target) - len(source) == (depth - DEPTH) * per_layer


@pytest.mark.parametrize("name", ["gpt2-tied", "vit-base", "llama-gqa"])
def test_every_second_block_of_llama_pro_is_a_silent_copy(name: str, tmp_path: Path) -> None:
    """A copy of the layer just passed, what writes the stream set to zero (`block_expansion.py`)."""
    source, target = files(grown(name, "deepen depth x2 via llama-pro", tmp_path))
    silent = 0
    for key, value in target.items():
        found = LAYER.search(key)
        layer = 0 if found is None else int(found[2])
        old = source[key if found is None else LAYER.sub(f"{found[1]}.{layer // 2}.", key)]
        if layer % 2 and WRITES.search(key):
            silent += 1
            assert not value.any() and value.shape == old.shape, key
        else:
            assert value.tobytes() == old.tobytes(), key
    assert silent == DEPTH * sum(".0." in key and WRITES.search(key) is not None for key in source) > 0


def test_the_layers_of_a_source_differ(tmp_path: Path) -> None:
    """Else a copy of any layer would do."""
    source, _ = files(grown("gpt2-tied", "stack depth x2 via stackbert", tmp_path))
    for key, value in source.items():
        if "h.0." in key:
            assert not np.array_equal(value, source[key.replace("h.0.", "h.1.")])


@pytest.mark.parametrize("map", ["random", "circular"])
@pytest.mark.parametrize(
    "name", ["gpt2-tied", "gpt2-untied", "bert-mlm", "bert-mlm-untied", "vit-base", "llama-gqa"]
)
def test_every_block_of_fpi(name: str, map: str, tmp_path: Path) -> None:
    """bert2BERT's FPI: W[g_out][:, g_in] / C(g_in), norms by index, the tied head's norm divided."""
    steps = f"grow hidden 48→72, heads 6→9, ffn 80→100 via bert2bert, map {map}"
    result = grown(name, steps, tmp_path)
    source, target = files(result)
    model = result.typed.source
    wanted = expected(source, model.family.name, maps_of(result), "fpi", model.tied)
    assert set(wanted) == set(target)
    for key, value in wanted.items():
        np.testing.assert_allclose(target[key], value, rtol=1e-14, atol=0, err_msg=key)
