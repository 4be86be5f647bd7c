"""What a growth method is: it proposes maps and states a claim; the checker decides.

One file per method in this package, named like the method, holding one instance called
`METHOD`. Methods know sizes and index maps, never tensors and never soundness.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from growplan.algebra import Expansion, Root
from growplan.methods.operator import LeafSpec as LeafSpec
from growplan.methods.operator import Operator as Operator
from growplan.methods.operator import Predictor as Predictor
from growplan.methods.operator import Recipe as Recipe

Strength = Literal["exact", "approximate", "none"]
Domain = tuple[str, ...]  # inputs a claim is limited to: () is all of them
Where = Literal["stock", "attached"]
Graft = Literal["", "rows", "inner"]  # what comes from the layer above (AKI)
RANK: Mapping[Strength, int] = {"none": 0, "approximate": 1, "exact": 2}
WIDTH_AXES = ("hidden", "ffn", "heads", "kv_heads", "vocab", "positions")
OptionValue = str | int | float | bool
UNSAID = 5000  # steps of a ramp that no plan says: MSG's own default (arXiv 2305.02869, `grow_time`)


@dataclass(frozen=True)
class Claim:
    """(strength, domain, where): `exact` on all inputs in a `stock` load.

    `domain` names what inputs must stay inside: `old vocab`, `old positions`; empty is all.
    """

    strength: Strength
    domain: Domain = ()
    where: Where = "stock"

    def __str__(self) -> str:
        extra = [*self.domain] + [self.where] * (self.where != "stock")
        return self.strength + (f" ({', '.join(extra)})" if extra else "")

    def covers(self, other: Claim) -> bool:
        """Whether a proof of `self` proves the claim `other`."""
        if RANK[other.strength] < RANK["exact"]:
            return RANK[self.strength] >= RANK[other.strength]
        wide_enough = set(self.domain) <= set(other.domain)
        return self.strength == "exact" and wide_enough and self.where in ("stock", other.where)

    def joined(self, other: Claim) -> Claim:
        """What holds of two steps in a row: the weaker strength, inside both domains."""
        weaker = min(self, other, key=lambda claim: RANK[claim.strength])
        domain = tuple(sorted({*self.domain, *other.domain}))
        where: Where = "attached" if "attached" in (self.where, other.where) else "stock"
        return Claim(weaker.strength, domain if weaker.strength == "exact" else (), where)


@dataclass(frozen=True)
class Option:
    """An option of a method: its values and its default.

    `counts`: the axis whose units a number counts (`m 8` of solar: layers), so that it shrinks with it
    at toy scale. `layers`: of a method that widens and adds layers, it is read for layers, not widths.
    `whole`: its numbers have no fraction, as they have none where the default is a whole number.
    """

    name: str
    default: OptionValue
    doc: str
    choices: tuple[str, ...] = ()  # empty: any value of the default's type
    range: tuple[float, float] | None = None  # numbers that it takes, beside any choices
    counts: str = ""
    layers: bool = False
    whole: bool = False
    methods: bool = False  # its values are names of methods, beside the default


@dataclass(frozen=True)
class Ask:
    """What a default claim depends on: the axes that grow, the options, where the norms stand."""

    axes: tuple[str, ...]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    post_norm: bool = False


@dataclass(frozen=True)
class WidthRequest:
    """What a method is asked for: axes to widen, old -> new sizes, and everything around them.

    `sizes` are the model's before the step; `key` seeds random maps.
    """

    grow: Mapping[str, tuple[int, int]]
    sizes: Mapping[str, int]
    key: str
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Noise:
    """A null term on columns that read several copies of a unit: it cancels, and tells copies apart.

    `pairing` and `scale` as in `ir.primitives.AddNull`; modules that write an axis of `spared` get none.
    """

    pairing: str  # centred | first | paired
    scale: str  # like | like(F) | normal(STD) | snr(DB)
    spared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Rows of `axis` interpolated as a square grid, `old` to `new` a side, after `kept` rows that stay."""

    axis: str
    kept: int
    old: int
    new: int


@dataclass(frozen=True)
class Candidate:
    """One way to do it: a map for each axis, and how shares and new units are filled."""

    label: str
    maps: Mapping[str, Expansion]
    shares: str = "even"  # even | uneven | first | own: see ir.primitives.SplitColumn
    init: str = "like"
    masked: str | None = None  # axis whose free units a growth mask silences
    norms: Literal["exact", "indexed"] = "exact"  # indexed: norms copied along the map, as published
    noise: Noise | None = None
    graft: Graft = ""  # new units of the layer above: rows of every matrix, or heads and ffn alone
    grid: Grid | None = None  # the axis has no map: its rows are interpolated
    null: Literal["drawn", "data"] = "drawn"  # data: columns on zero inputs are filled from data leaves
    tables: Mapping[str, Expansion] = field(default_factory=dict)  # axis of ids -> how its tables are filled
    attached: Candidate | None = None  # the model behind the runtime's masks, where a stock load has another


@dataclass(frozen=True)
class UpcycleRequest:
    """What a method is asked to make a mixture of: an ffn of so many units, as so many experts."""

    experts: int
    ffn: int
    options: Mapping[str, OptionValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Mixture:
    """How the experts come from one ffn.

    Expert e is shard e mod `shards` of it, times `scales` (of `gate`, `up`, `down`; 1 where left
    out), then a ratio `drop` of its units drawn again, then `noise` added. Router: drawn by
    `router`, each row repeated for the shards of a group.
    """

    label: str
    experts: int
    active: int
    shards: int = 1
    scales: Mapping[str, Root] = field(default_factory=dict)
    router: str = "normal(0.02)"
    noise: float = 0.0
    drop: float = 0.0


@dataclass(frozen=True)
class Ramp:
    """How a growth mask goes from 0 to 1 in training: over `steps` optimiser steps, `delay` of them later.

    `steps` None: the plan stores no ramp, and whoever trains chooses one.
    """

    steps: int | None = None
    shape: Literal["linear", "cosine"] = "linear"
    delay: int = 0

    @property
    def end(self) -> int:
        """The step from which on the mask is 1."""
        return self.delay + (UNSAID if self.steps is None else self.steps)


@dataclass(frozen=True)
class LayerSource:
    """Where a layer of a deeper model comes from: an old layer, maybe silenced, maybe drawn anew.

    `writers`: what becomes of the modules that write the residual stream: kept; zero, so that the
    block adds nothing; `cancel`, noise that cancels over copies of the units that they read; `masked`,
    kept behind a growth mask of 0; or `bypassed`, kept, and the whole block stands behind the mask.
    `fresh`: how everything else is drawn, as a new layer's (`config`: normal with the config's
    initializer_range; `like`; `normal(STD)`); empty where it is copied.
    `predicted`: it stands between this old layer and the next, and a fitted `Predictor` makes its
    matrices from those of the two; only the rest is that of `layer`.
    `norms` is the checker's: norms that become plain (None: scale 1, shift 0), or those of another
    old layer.
    """

    layer: int
    writers: Literal["kept", "zero", "cancel", "masked", "bypassed"] = "kept"
    fresh: str = ""
    norms: tuple[tuple[str, int | None], ...] = ()
    predicted: int | None = None

    @property
    def place(self) -> int:
        """The old layer in whose place it stands, or above which."""
        return self.layer if self.predicted is None else self.predicted

    @property
    def silent(self) -> bool:
        """Whether the block adds nothing to the residual stream."""
        return self.writers != "kept"


@dataclass(frozen=True)
class Method:
    """Base of all methods.

    `axes` are the axes it widens, `verbs` the verbs it serves (`stack` and `deepen` add layers),
    `training` what its paper trains afterwards, where that is not everything. `learned`: it is fitted
    on data, so that `on PATH` and `for N steps` say something.
    """

    name: str = ""
    title: str = ""
    paper: str = ""
    axes: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("widen",)
    options: tuple[Option, ...] = ()
    grids: bool = False  # it widens the positions of images (a grid of patches), not those of tokens
    training: str = ""
    least_depth: int = 1  # layers that it needs in the source to add some
    on_data: bool = False  # measures on data that the step names
    learned: bool = False

    def claim(self, ask: Ask) -> Claim:
        """The claim that holds unless the plan says otherwise."""
        raise TypeError(f"{type(self).__name__} states no claim")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        """Candidates in order of preference; the first that types is taken."""
        raise TypeError(f"{self.name} does not widen")

    def deepen(self, old: int, new: int, options: Mapping[str, OptionValue]) -> tuple[LayerSource, ...]:
        """The source of each of the `new` layers, bottom first."""
        raise TypeError(f"{self.name} does not add layers")

    def depth(self, old: int, options: Mapping[str, OptionValue]) -> int | None:
        """The number of layers that the options alone ask for; None where the plan must say it."""
        return None

    def unties(self, options: Mapping[str, OptionValue]) -> bool:
        """Whether a head that reads the embedding is to get a matrix of its own first."""
        return False

    def upcycle(self, request: UpcycleRequest) -> Mixture:
        """The mixture that the ffn becomes. Raises GP116 and GP257."""
        raise TypeError(f"{self.name} makes no mixture")

    def predictor(self, options: Mapping[str, OptionValue]) -> Predictor | None:
        """How the layers that it predicts are fitted; None where it predicts none."""
        return None

    def ramp(self, options: Mapping[str, OptionValue], over: int | None) -> Ramp | None:
        """How the step's growth mask rises, from its options and the plan's `over N steps`; None: no mask."""
        return None

    def operator(self, options: Mapping[str, OptionValue], steps: int | None) -> Operator:
        """What a learned method fits, from its options and the plan's `for N steps`."""
        raise TypeError(f"{self.name} learns nothing")


NOISE = Option(
    "noise",
    "none",
    "noise that cancels over the copies of a unit, this many decibels below the weights that read them",
    ("none",),
    range=(-200, 200),
)


def noise_of(options: Mapping[str, OptionValue]) -> Noise | None:
    """The null term that the option `noise` asks for."""
    snr = decibels(options.get("noise", "none"))
    return None if snr is None else Noise("centred", snr)


def decibels(value: OptionValue) -> str | None:
    """`snr(DB)`, or None for `none`."""
    return None if value == "none" else f"snr({value})"


def domain_of(axes: tuple[str, ...]) -> Domain:
    """Where an exact claim about these axes can hold at all."""
    return tuple(f"old {axis}" for axis in ("positions", "vocab") if axis in axes)


def uniform(key: str) -> random.Random:
    """A generator whose `.random()` sequence Python guarantees to be stable for one key."""
    return random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))


def random_map(old: int, new: int, key: str) -> Expansion:
    """Net2Net's g: the old units in order, then uniform samples of them (arXiv 1511.05641)."""
    rng = uniform(key)
    tail = (int(rng.random() * old) for _ in range(new - old))
    return Expansion.of_units(old, [*range(old), *tail])
