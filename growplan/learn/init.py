"""How the leaves of a learned operator begin.

Depth weights W [new layers, old layers] (LiGO's official names):

    stackbert          row i is 1 at i mod L
    interlace          row i is 1 at floor(i L / L*)
    ...-noisy          U(0, noise) everywhere, then 1 at that place, each row divided by its sum
    rand               U(0, 1), each row divided by its sum
    rand-softmax       softmax of U(0, 1)

Width operators C [new units, old units]:

    rand, rand-softmax as above
    sel                row i is 1 at a unit drawn at random
    sel-noisy          U(0, noise) everywhere, then 1 at that unit

    zeros              what is added begins at nothing

Cores of a tensor ring S [bond, old, new, bond]: the first bonds hold the transpose of a matrix [new, old],

    identity           I, of blocks and of what does not grow
    identity, WORD     [I ; C], C by a word of width; what reads an axis begins as what writes it
    WORD               W, by a word of depth

and all other bonds normal numbers of deviation noise / sqrt(old), so that each has a gradient.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from growplan.backend.philox import key_of, normal, words
from growplan.methods.operator import LeafSpec


def initial(spec: LeafSpec, noise: float) -> Tensor:
    """The values a leaf begins with, float64: a pure function of its init, shape and key."""
    if spec.init == "zeros":
        return torch.zeros(spec.shape, dtype=torch.float64)
    if len(spec.shape) == 4:
        return _core(spec, noise)
    rows, columns = spec.shape
    name, noisy = spec.init.removesuffix("-noisy"), spec.init.endswith("-noisy")
    drawn = uniform(spec.key, rows, columns)
    match name:
        case "rand":
            return drawn / drawn.sum(1, keepdim=True)
        case "rand-softmax":
            return drawn.softmax(1)
        case "stackbert":
            hot = torch.arange(rows) % columns
        case "interlace":
            hot = torch.arange(rows) * columns // rows
        case "sel":
            hot = words(key_of(f"{spec.key}/unit"), 0, rows) * columns >> 32
        case _:
            raise ValueError(f"no init is called {spec.init}")
    out = drawn * noise if noisy else torch.zeros_like(drawn)
    out[torch.arange(rows), hot] = 1.0
    return out / out.sum(1, keepdim=True) if noisy and name != "sel" else out


def _core(spec: LeafSpec, noise: float) -> Tensor:
    """A core: a matrix at its first bonds, noise at the others."""
    first, old, new, last = spec.shape
    drawn = normal(words(key_of(f"{spec.key}/{spec.name}"), 0, first * old * new * last))
    core: Tensor = drawn.view(spec.shape) * (noise / old**0.5)
    kept = old if spec.init.startswith("identity") else 0
    rows, word = [torch.eye(old, dtype=torch.float64)[:kept]], spec.init.removeprefix("identity")
    if word:
        added = replace(spec, shape=(new - kept, old), init=word.removeprefix(", "))
        rows.append(initial(added, noise))
    core[0, :, :, 0] = torch.cat(rows).T
    return core


def uniform(key: str, rows: int, columns: int) -> Tensor:
    """U(0, 1), never 0, in float64."""
    return (words(key_of(key), 0, rows * columns).view(rows, columns).to(torch.float64) + 0.5) / 2**32
