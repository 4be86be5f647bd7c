"""What checking a plan yields: typed steps, claims with proofs, costs. Values, no printing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from growplan.algebra import Expansion, Root
from growplan.check.fitted import Fit
from growplan.diagnostics import Diagnostic, Span
from growplan.families.model import Model, Module
from growplan.language.plan import Plan
from growplan.methods.base import (
    Claim,
    Grid,
    LayerSource,
    LeafSpec,
    Mixture,
    Noise,
    Operator,
    Predictor,
    Ramp,
)


@dataclass(frozen=True)
class Proof:
    """What the checker established: the strength and the reasons, strongest first."""

    claim: Claim
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParamRewrite:
    """How one parameter changes in a step, layers folded.

    `rows`/`cols` as in `ir.graph.TensorLaw`. `shares` divides the columns among copies;
    `init` draws free rows and the null term; `masked` columns, and zero rows on the stream, are drawn,
    then masked to 0.
    `graft`: in every layer but the top one, second and later copies are the layer above's.
    `made_rows`/`made_cols`: how the slices are built, where the law leaves it free: a table over
    ids may copy old rows or their mean, since an old id selects its old row alone.
    """

    module: str
    leaf: Literal["weight", "bias"]
    rows: Expansion
    cols: Expansion | None
    shares: str = "even"
    init: str = "like"
    masked: str | None = None  # axis of the mask
    noise: Noise | None = None  # on columns that read copies
    graft: Literal["", "rows", "cols"] = ""  # the repeats of these maps come from the layer above
    grid: Grid | None = None  # the columns are interpolated
    null: Literal["drawn", "data"] = "drawn"  # what fills columns that read zeros
    made_rows: Expansion | None = None
    made_cols: Expansion | None = None

    @property
    def has_noise(self) -> bool:
        """Whether the null term is drawn: only columns that read copies of a unit can cancel it."""
        return self.noise is not None and self.cols is not None and self.cols.most_copies > 1


@dataclass(frozen=True)
class ModuleTyping:
    """E_in and E_out of a module in a step (what the executor measures)."""

    module: Module
    e_in: Expansion | None
    e_out: Expansion
    exact: bool = True
    tied: bool = False  # the head that reads this embedding


@dataclass(frozen=True)
class Violation:
    """A norm that the law does not pass through, admitted by an `approximate` claim."""

    module: str
    reason: str
    bound: str  # how far its output can be off


@dataclass(frozen=True)
class Upcycling:
    """Where the tensors of a mixture come from: `sources` names the dense module of an expert's."""

    mixture: Mixture
    sources: Mapping[str, str]
    router: str  # the module that scores the experts
    scales: Mapping[str, Root]  # module of an expert -> factor of its weights, where not 1


@dataclass(frozen=True)
class OperatorCost:
    """Numbers of a learned operator, and what fitting it costs (`check.learned.operator_cost`)."""

    parts: tuple[tuple[str, int], ...]  # what its numbers are of (`width`, `depth`), and how many
    share: float  # of the target's parameters
    flops: int  # of the whole fit
    materialise: float  # the part of them that makes weights
    memory: int  # bytes, without activations

    @property
    def parameters(self) -> int:
        """All numbers of the operator."""
        return sum(count for _, count in self.parts)


@dataclass(frozen=True)
class PredictorCost:
    """Networks that predict layers, one for each matrix of a block (`check.predictors.predictor_cost`)."""

    networks: int
    parameters: int  # of all of them
    flops: int
    memory: int  # bytes


@dataclass(frozen=True)
class TypedStep:
    """One step, resolved against the model before it and typed."""

    index: int  # 1-based
    id: str
    verb: str
    method: str
    axes: tuple[tuple[str, int, int], ...]  # (axis, old, new): everything this step resizes
    text: str  # canonical: `widen hidden 384→768 via fpi`
    origin: str  # FILE:LINE:COL, or `implied by ID`
    implied: str | None  # why, when no line of the plan names it: `hidden = heads * head_dim`
    candidate: str  # `even copies`, `mean rows`, ...: how the method did it
    promised: Claim
    proof: Proof
    before: Model
    after: Model
    maps: Mapping[str, Expansion]  # axis -> E (width steps)
    stream: Expansion | None  # E of the residual stream
    rewrites: tuple[ParamRewrite, ...] = ()
    typings: tuple[ModuleTyping, ...] = ()
    violations: tuple[Violation, ...] = ()
    layers: tuple[LayerSource, ...] = ()  # depth steps
    config: tuple[tuple[str, object], ...] = ()  # keys set in the model after the step
    fit: Fit | None = None  # what the step measures on data
    key: str = ""  # seeds every random draw of the step
    upcycling: Upcycling | None = None  # the model after is of another family
    ramp: Ramp | None = None  # mask-in: how its mask rises
    attached: TypedStep | None = None  # the step behind the runtime's masks, where a stock load has another
    operator: Operator | None = None  # learned steps: what is fitted
    leaves: tuple[LeafSpec, ...] = ()  # of the operator
    fit_cost: OperatorCost | None = None
    start: tuple[TypedStep, ...] = ()  # static steps that a general operator begins as, counted from 1
    predictor: Predictor | None = None  # how predicted layers are fitted
    predictor_cost: PredictorCost | None = None
    data: str = ""  # what it is fitted on, as the plan names it
    span: Span | None = None

    @property
    def over(self) -> int:
        """Steps of the mask's ramp, 0 where none is stored."""
        return (self.ramp.steps or 0) if self.ramp is not None else 0


@dataclass(frozen=True)
class Cost:
    """Size of one model. FLOPs are multiply-adds x 2 of one token's forward pass."""

    parameters: int
    flops_per_token: int
    bytes: int
    largest_tensor: int  # bytes
    active: int = 0  # parameters that one token passes: of a mixture, those of its best experts


@dataclass(frozen=True)
class TypedPlan:
    """A checked plan: the models before and after, every step, the claim as a whole."""

    plan: Plan
    steps: tuple[TypedStep, ...]
    source: Model
    target: Model
    claim: Claim  # the weakest of the steps
    cost_before: Cost
    cost_after: Cost
    peak_memory: int  # bytes, what `apply` works in by default
    lints: tuple[Diagnostic, ...] = ()
