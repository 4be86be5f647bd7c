"""The matrix: model variants x first growths x second growths, with the claim each must get."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

IMAGES = ("vit", "deit")


@dataclass(frozen=True)
class Variant:
    """A tiny source with every parameter random; `norm` decides which maps exist."""

    name: str
    family: str
    architecture: str
    norm: str  # pre-ln | post-ln | rms
    config: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def has_kv(self) -> bool:
        return self.family not in ("bert", "roberta", "gpt2")

    def takes(self, growth: str) -> bool:
        """Whether the model has the axes of a growth of `FIRST`."""
        return self.family not in IMAGES or growth not in TEXT_ONLY


VARIANTS = (
    Variant("gpt2-tied", "gpt2", "GPT2LMHeadModel", "pre-ln", {"n_inner": 80}),
    Variant(
        "gpt2-untied", "gpt2", "GPT2LMHeadModel", "pre-ln", {"tie_word_embeddings": False, "n_inner": 80}
    ),
    Variant(
        "gpt2-classify", "gpt2", "GPT2ForSequenceClassification", "pre-ln", {"pad_token_id": 0, "n_inner": 80}
    ),
    Variant(
        "gpt2-relu",
        "gpt2",
        "GPT2Model",
        "pre-ln",
        {"activation_function": "relu", "n_layer": 1, "n_inner": 80},
    ),
    Variant("bert-base", "bert", "BertModel", "post-ln"),
    Variant("bert-mlm", "bert", "BertForMaskedLM", "post-ln"),
    Variant("bert-mlm-untied", "bert", "BertForMaskedLM", "post-ln", {"tie_word_embeddings": False}),
    Variant("bert-classify", "bert", "BertForSequenceClassification", "post-ln", {"num_labels": 3}),
    Variant("llama-gqa-tied", "llama", "LlamaForCausalLM", "rms", {"tie_word_embeddings": True}),
    Variant("llama-gqa", "llama", "LlamaForCausalLM", "rms", {"attention_bias": True, "mlp_bias": True}),
    Variant("llama-mha", "llama", "LlamaForCausalLM", "rms", {"num_key_value_heads": 6}),
    Variant(
        "llama-mqa-tied",
        "llama",
        "LlamaForCausalLM",
        "rms",
        {"num_key_value_heads": 1, "tie_word_embeddings": True},
    ),
    Variant("llama-wide-heads", "llama", "LlamaModel", "rms", {"head_dim": 12}),
    Variant("vit-base", "vit", "ViTModel", "pre-ln", {"qkv_bias": False, "pooler_output_size": 30}),
    Variant("deit-teacher", "deit", "DeiTForImageClassificationWithTeacher", "pre-ln", {"num_labels": 3}),
    Variant("mistral-window", "mistral", "MistralForCausalLM", "rms"),
    Variant("qwen3-gqa", "qwen3", "Qwen3ForCausalLM", "rms", {"head_dim": 12, "attention_bias": True}),
    Variant("roberta-mlm", "roberta", "RobertaForMaskedLM", "post-ln"),
    Variant("qwen2-window-tied", "qwen2", "Qwen2ForCausalLM", "rms", {"tie_word_embeddings": True}),
    Variant("mixtral-gqa", "mixtral", "MixtralForCausalLM", "rms"),
)

ANY_SIZE = {"pre-ln": "exact", "rms": "exact", "post-ln": "refused"}
INSERTED = {"pre-ln": "exact", "rms": "exact", "post-ln": "approximate"}
EXACT = dict.fromkeys(ANY_SIZE, "exact")
NONE = dict.fromkeys(ANY_SIZE, "none")
APPROXIMATE = dict.fromkeys(ANY_SIZE, "approximate")

# what each growth must be proved to be, by norm
FIRST: dict[str, dict[str, str]] = {
    "widen hidden 48→96 via fpi": EXACT,
    "widen hidden 48→96 via fpi, split even": EXACT,
    "widen hidden 48→144 via fpi": EXACT,
    "widen hidden 48→72 via fpi": ANY_SIZE,
    "widen hidden 48→120 via fpi": ANY_SIZE,
    "widen hidden 48→72 via bert2bert": APPROXIMATE,
    "widen hidden 48→96 via bert2bert, map circular": EXACT,
    "widen hidden 48→120 via lemon": ANY_SIZE,
    "widen hidden 48→96 via hypercloning, snr_db 20": EXACT,
    "widen ffn x2; widen hidden 48→96": EXACT,
    "widen ffn 80→131 via fpi": EXACT,
    "widen ffn 80→253 via net2net": EXACT,
    "widen ffn 80→100 via bert2bert, split uneven": EXACT,
    "mask-in ffn 80→97": EXACT,
    "deepen depth x2 via identity": INSERTED,
    "deepen depth to 5 via net2net": INSERTED,
    "stack depth x2": NONE,
    "stack depth to 5 via interlace": NONE,
    "widen vocab 31→40": EXACT,
    "widen positions 24→32": EXACT,
}
TEXT_ONLY = ("widen vocab 31→40", "widen positions 24→32")
SECOND: dict[str, dict[str, str]] = {
    "": EXACT,
    "widen ffn to 300 via fpi": EXACT,
    "mask-in ffn to 311": EXACT,
    "widen hidden x2; widen ffn to 270": EXACT,
    "deepen depth x2 via identity": INSERTED,
}
# heads alone, where the config can say it (LLaMA): (variant, growth) -> every claim exact
HEADS_ONLY = (
    ("qwen3-gqa", "widen head_dim 12→20; widen hidden 48→72"),
    ("qwen3-gqa", "widen hidden 48→120; widen head_dim 12→18; widen heads 6→9"),
    ("qwen3-gqa", "grow heads to 12, kv_heads to 4 via fpi; mask-in heads 12→20"),
    ("llama-gqa", "widen head_dim 8→12"),
    ("llama-gqa-tied", "widen heads 6→9; widen head_dim 8→10; widen hidden to 90"),
    ("llama-wide-heads", "widen head_dim 12→18; mask-in heads 6→12"),
    ("gpt2-tied", "widen head_dim 8→12"),
    ("gpt2-untied", "widen hidden 48→72; widen head_dim 8→12"),
    ("bert-mlm", "widen head_dim 8→16"),
    ("llama-gqa", "grow heads to 8, kv_heads to 4 via fpi; widen head_dim 8→8"),
    ("llama-gqa-tied", "grow heads to 12, kv_heads to 4 via net2net; widen hidden to 96"),
    ("llama-mha", "mask-in heads 6→12; widen head_dim 8→8"),
    ("bert-classify", "widen hidden 48→96; widen heads 6→12; widen ffn x2"),
    ("llama-gqa-tied", "widen hidden 48→72; widen heads 6→12; widen hidden to 96"),
    ("llama-wide-heads", "widen heads 6→12 via fpi"),
    ("llama-wide-heads", "mask-in heads 6→12"),
    ("llama-wide-heads", "widen kv_heads 3→6 via fpi"),
    ("llama-wide-heads", "widen heads 6→12 via net2net"),
    (
        "gpt2-tied",
        "grow hidden x2, heads x2, ffn 80→160 via lemon; deepen depth x2 via lemon, type 2; widen ffn x2",
    ),
    (
        "llama-gqa-tied",
        "grow hidden 48→72, heads 6→9, ffn 80→131 via lemon; deepen depth 2→3 via lemon, type 2, fan-in next",
    ),
    ("gpt2-tied", "widen hidden 48→72 via lemon; widen ffn 80→131 via lemon"),
    ("gpt2-untied", "widen hidden 48→120 via lemon, split comp, scale 0.3"),
    ("bert-mlm", "widen hidden 48→144 via lemon, split comp; widen ffn 80→200 via lemon"),
    ("bert-mlm-untied", "widen hidden 48→96 via lemon, split uneven"),
    ("llama-gqa-tied", "widen hidden 48→72 via lemon; widen heads to 9 via lemon"),
    ("llama-mqa-tied", "grow hidden 48→120, heads 6→15, ffn 80→253 via lemon, init normal(0.05)"),
    ("llama-wide-heads", "widen heads 6→12 via lemon; widen kv_heads 3→6 via lemon, split even"),
    ("gpt2-classify", "widen hidden 48→144 via hypercloning; widen ffn x3 via hypercloning, snr_db 0"),
    ("llama-gqa-tied", "grow hidden 48→96, heads 6→12, kv_heads 3→6 via hypercloning, snr_db 10"),
    ("llama-mqa-tied", "grow hidden 48→144, heads 6→18, ffn 80→160 via hypercloning, snr_db 10"),
    ("llama-gqa", "widen heads 6→12 via hypercloning, snr_db 3; widen hidden x2"),
    ("gpt2-tied", "widen hidden 48→96 via hypercloning, head untie, snr_db 10"),
    ("bert-mlm", "widen hidden 48→144 via hypercloning, head untie; widen ffn 80→100"),
    ("llama-gqa-tied", "widen ffn 80→160 via hypercloning, head untie; widen hidden 48→72 via lemon"),
    ("qwen2-window-tied", "grow hidden 48→96, heads 6→12, kv_heads 3→6 via hypercloning, head untie"),
    ("gpt2-tied", "grow hidden 48→96, heads 6→12, ffn 80→160 via staged"),
    ("bert-mlm", "grow hidden 48→96, heads 6→12, ffn 80→160 via staged; widen ffn to 200 via fpi"),
    ("bert-classify", "grow hidden 48→96, heads 6→12, ffn 80→160 via staged"),
    ("llama-gqa", "grow hidden 48→96, heads 6→12, kv_heads 3→6, ffn 80→160 via staged"),
    (
        "llama-mha",
        "grow hidden 48→96, heads 6→12, ffn 80→160 via staged; grow hidden to 144, heads to 18 via lemon",
    ),
    ("gpt2-relu", "widen ffn 80→131 via net2net, noise 3; widen hidden 48→72 via fpi, noise 3"),
    ("llama-gqa-tied", "widen ffn 80→253 via bert2bert, noise 3; widen hidden 48→96 via fpi, noise -3"),
    ("llama-mha", "widen hidden 48→72; mask-in heads"),
    ("gpt2-tied", "widen hidden 48→72 via fpi; mask-in heads"),
    ("gpt2-tied", "mask-in heads 6→9; widen hidden to 72 via fpi"),
    ("bert-mlm", "mask-in heads 6→12; widen hidden x2"),
    ("llama-mqa-tied", "widen hidden 48→72; widen heads 6→9 via bert2bert"),
    ("vit-base", "widen hidden 48→72 via fpi; mask-in heads"),
    ("vit-base", "widen head_dim 8→12; widen heads 6→7 via net2net"),
    ("deit-teacher", "grow hidden to 96, heads to 12, ffn to 160 via fpi"),
    ("mixtral-gqa", "widen experts 4→8; widen hidden 48→72; widen ffn 80→100"),
    ("mixtral-gqa", "widen ffn x2; grow experts to 12, heads to 9 via fpi; widen hidden to 72"),
    ("mixtral-gqa", "widen head_dim 8→12; widen kv_heads 3→6; widen experts x2; deepen depth x2"),
)

# new units of the layer above: every claim none, every result another function
GRAFTED = (
    ("gpt2-tied", "grow hidden 48→72, heads 6→9, ffn 80→131 via aki"),
    ("gpt2-untied", "widen ffn 80→100 via aki; widen ffn to 300 via fpi"),
    ("gpt2-classify", "grow hidden 48→96, heads 6→12 via aki, reading inner, map circular"),
    ("bert-base", "grow hidden 48→64, heads 6→8, ffn 80→100 via aki, map circular"),
    ("bert-mlm", "grow hidden 48→120, heads 6→15, ffn 80→253 via aki"),
    ("bert-classify", "widen ffn 80→81 via aki, reading inner; stack depth x2"),
    ("llama-gqa", "grow hidden 48→72, heads 6→9, ffn 80→100 via aki, reading inner"),
    ("llama-gqa-tied", "grow heads 6→12, kv_heads 3→6 via aki; widen hidden to 96 via fpi"),
    ("llama-mha", "widen hidden 48→72 via aki; widen heads 6→9 via aki"),
    ("llama-mqa-tied", "widen hidden 48→72 via aki; widen heads 6→9 via aki, reading inner"),
    ("llama-wide-heads", "widen heads 6→12 via aki; widen ffn 80→97 via aki"),
    ("vit-base", "grow hidden 48→64, heads 6→8, ffn 80→100 via aki"),
    ("deit-teacher", "grow hidden 48→72, heads 6→9, ffn 80→131 via aki, reading inner"),
)


# fitted on data: (variant, growths); every claim none. `DATA` is a file of what the head is trained on
WIDER = "grow hidden 48→64, heads 6→8, ffn 80→96, depth 2→3 via ligo on DATA for 2 steps"
GROUPED = WIDER.replace("heads 6→8", "heads 6→8, kv_heads 3→4")
LEARNED = (
    ("gpt2-tied", f"{WIDER}, tying layer"),
    ("gpt2-untied", f"{WIDER}, order width-first; widen ffn 96→100 via fpi"),
    ("gpt2-classify", f"widen ffn 80→96 via fpi; {WIDER.replace('ffn 80→96, ', '')}"),
    ("bert-mlm", f"{WIDER}, mask 4"),
    ("bert-mlm-untied", f"{WIDER}, mask 4, tying layer, mix heads"),
    ("bert-classify", WIDER),
    ("llama-gqa-tied", GROUPED),
    ("llama-gqa", f"{GROUPED}, tying layer"),
    ("llama-mha", f"{WIDER}, depth-init interlace"),
    ("llama-mqa-tied", f"{WIDER}, width-init sel"),
    ("deit-teacher", WIDER),
    ("mistral-window", GROUPED),
    ("qwen3-gqa", GROUPED),
    ("roberta-mlm", f"{WIDER}, mask 4"),
    ("qwen2-window-tied", GROUPED),
    ("mixtral-gqa", GROUPED),
)
# headless: nothing to fit on
NO_LOSS = ("gpt2-relu", "bert-base", "llama-wide-heads", "vit-base")


# layers: (variant, growths, claim)
DEPTH = (
    ("bert-mlm", "deepen depth to 5 via identity; widen hidden x2; widen heads x2", "approximate"),
    (
        "bert-classify",
        "widen hidden 48→96; widen heads 6→12; deepen depth to 3 via llama-pro, place end",
        "approximate",
    ),
    ("bert-base", "deepen depth x2 via net2net; deepen depth to 6, new fresh", "approximate"),
    ("gpt2-tied", "widen hidden 48→72; mask-in heads; deepen depth to 3 via llama-pro", "exact"),
    ("gpt2-untied", "deepen depth to 3 via llama-pro, place start; widen hidden 48→72", "exact"),
    ("llama-gqa", "deepen depth to 5 via identity, new fresh; widen ffn to 100", "exact"),
    ("llama-gqa-tied", "widen hidden 48→72; deepen depth x2 via llama-pro; deepen depth to 7", "exact"),
    ("gpt2-tied", "stack depth to 4 via solar; widen ffn to 100", "none"),
    ("gpt2-classify", "widen hidden 48→72 via bert2bert; stack depth to 5 via bert2bert", "none"),
    ("llama-mha", "stack depth to 3 via midas", "none"),
    ("gpt2-tied", "stack depth x2; deepen depth to 6 via lesa, updates 9; widen hidden 48→72", "none"),
    ("bert-mlm", "stack depth x2; deepen depth to 5 via lesa, updates 9, place spread", "none"),
    ("deit-teacher", "stack depth x2; deepen depth to 5 via lesa, updates 9, rest below", "none"),
    ("qwen3-gqa", "stack depth x2; deepen depth to 5 via lesa, updates 9, place 0", "none"),
    ("mixtral-gqa", "stack depth x2; deepen depth to 5 via lesa, epochs 1, updates 1", "none"),
    ("llama-wide-heads", "stack depth via gstack, g 3", "none"),
    ("bert-base", "stack depth to 3 via mslt, new fresh, init normal(0.1)", "none"),
    ("bert-mlm-untied", "deepen depth to 3 via interpolate", "none"),
)


# tables filled otherwise than by drawing, on every kind of head: exact on the old ids
TABLES = (
    ("gpt2-tied", "widen positions 24→56 via fpi, rows copy; widen vocab 31→40 via fpi, rows mean"),
    ("gpt2-untied", "widen vocab 31→70 via fpi, rows copy; widen hidden 48→96"),
    ("gpt2-classify", "grow hidden to 96, vocab to 40, positions to 30 via fpi, rows mean; widen heads x2"),
    ("bert-mlm", "widen vocab 31→40 via fpi, rows mean; widen positions 24→50 via fpi, rows copy"),
    ("bert-mlm-untied", "widen vocab 31→40 via fpi, rows copy; widen positions 24→30 via fpi, rows mean"),
    ("llama-gqa", "widen hidden 48→72; widen heads 6→9; widen vocab 31→40 via fpi, rows mean"),
    ("llama-gqa-tied", "widen vocab 31→40 via fpi, rows mean; widen vocab 40→90 via fpi, rows copy"),
)


@dataclass(frozen=True)
class Case:
    variant: Variant
    first: str
    second: str

    @property
    def id(self) -> str:
        return f"{self.variant.name} | {self.first} | {self.second or '-'}"

    @property
    def steps(self) -> str:
        return "; ".join(s for s in (self.first, self.second) if s)

    @property
    def claim(self) -> str:
        claims = {FIRST[self.first][self.variant.norm], SECOND[self.second][self.variant.norm]}
        return next(c for c in ("refused", "none", "approximate", "exact") if c in claims)


def full() -> list[Case]:
    """The whole product."""
    return [Case(*case) for case in product(VARIANTS, FIRST, SECOND) if case[0].takes(case[1])]


def pairwise() -> list[Case]:
    """Every variant with every first growth, and every pair with a second growth, once."""
    seconds = list(SECOND)
    out = []
    for v, variant in enumerate(VARIANTS):
        for f, first in enumerate(FIRST):
            if variant.takes(first):
                out.append(Case(variant, first, seconds[(v + f + f // len(seconds)) % len(seconds)]))
    return out
