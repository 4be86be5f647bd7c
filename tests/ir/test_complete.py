"""Every primitive has every rule; the symbolic layers import neither torch nor networkx."""

from __future__ import annotations

import subprocess
import sys

import pytest

from growplan.ir import symbolic, typing
from growplan.ir.primitives import PRIMITIVES, Primitive
from growplan.ir.text import readers, words


def test_primitives_are_listed() -> None:
    assert set(PRIMITIVES) == set(Primitive.__subclasses__())
    assert len({p.name for p in PRIMITIVES}) == len(PRIMITIVES)


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.name)
def test_has_every_rule(primitive: type[Primitive]) -> None:
    assert primitive in typing.RULES
    assert primitive in symbolic.RULES
    assert primitive in words.PRINTERS
    assert {primitive.name, f"{primitive.name}_tensor"} & set(readers.READERS)
    assert "rewrite:" in (primitive.__doc__ or "") and "->" in (primitive.__doc__ or "")


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p.name)
def test_has_a_kernel(primitive: type[Primitive]) -> None:
    from growplan.backend import kernels

    assert primitive in kernels.KERNELS


def test_imports_stay_light() -> None:
    """Lowering, verifying and printing need no lark, networkx, numpy or torch."""
    code = (
        "import sys, growplan.ir.lower, growplan.ir.verify, growplan.ir.text, growplan.ir.passes\n"
        "print(sorted({'lark', 'networkx', 'numpy', 'torch', 'transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
