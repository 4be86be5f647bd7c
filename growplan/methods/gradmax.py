"""`gradmax`: new feed-forward units that change nothing and get the largest gradient.

rewrite:   fc1 : d -> F     ->   [fc1 ; 0] : d -> F*
           fc2 : F -> d     ->   [fc2 , s V_k] : F* -> d      V_k from a batch of the user's data

New units read nothing at first (weights and bias 0), so act(0) = 0 makes the step exact whatever
they write. They write along the k leading right singular vectors of the gradient of the loss with
respect to a zero linear map from the layer's input to the next layer's output (GradMax, Evci et
al., arXiv 2201.05125, eq. 9), each scaled to the mean norm of the columns beside it: of all
orthogonal columns of that norm these give the new rows the largest gradient. In a gated layer the
gate's rows are zero and the other factor's are drawn, since both at zero would get no gradient; the
gradient then passes through x^T u: its expected square over a drawn u is w^T M w, with M the sum over
tokens t, s of (x_t . x_s)^2 e_t e_s^T (e the gradient at the next layer's output), and V_k are the
leading eigenvectors of M.
"""

from __future__ import annotations

from growplan.algebra import Expansion
from growplan.methods.base import Ask, Candidate, Claim, Method, Option, WidthRequest


class GradMax(Method):
    """Silent units whose outgoing columns are measured on data."""

    def claim(self, ask: Ask) -> Claim:
        return Claim("exact")

    def widen(self, request: WidthRequest) -> list[Candidate]:
        old, new = request.grow["ffn"]
        init = str(request.options.get("init", "like"))
        zero, free = (Expansion.appended(old, new, kind) for kind in ("zero", "free"))
        return [
            Candidate("silent units", {"ffn": zero}, init=init, null="data"),
            Candidate("gated silent units", {"ffn": free, "ffn/gate": zero}, init=init, null="data"),
        ]


METHOD = GradMax(
    name="gradmax",
    title="silent ffn units whose outgoing weights maximise their first gradient, measured on data",
    paper="GradMax arXiv 2201.05125",
    axes=("ffn",),
    verbs=("widen", "grow"),
    on_data=True,
    options=(
        Option("data", "", "a text, or token ids as .json or .npy; relative to the plan (required)"),
        Option("batch", 16, "sequences of the data that are used, from its beginning", range=(1, 1e6)),
        Option("length", 128, "tokens of a sequence, at most the model's positions", range=(2, 1e6)),
        Option(
            "scale",
            "mean_norm",
            "the norm of new columns: that of the old ones, or a number",
            ("mean_norm",),
            range=(1e-6, 1e6),
        ),
        Option(
            "mask",
            "tokenizer",
            "id of a masked model's mask token: a number, or the `tokenizer`'s own",
            ("tokenizer",),
            range=(0, 1e9),
            whole=True,
        ),
        Option("init", "like", "how the rows beside a zero gate are drawn: `like` the old, or `normal(STD)`"),
    ),
)
