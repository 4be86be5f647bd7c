"""Configs: what they bind to, and what is refused, where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growplan.diagnostics import DiagnosticError
from growplan.families import bind, detect
from tests.families.configs import CONFIGS, config, model

ABSENT = object()


def _errors(data: dict[str, Any]) -> list[tuple[str, str | None]]:
    """(code, the text at the place) of every diagnostic."""
    described = config({key: value for key, value in data.items() if value is not ABSENT})
    with pytest.raises(DiagnosticError) as caught:
        bind(detect(described), described)
    out = []
    for d in caught.value.diagnostics:
        assert d.span is not None
        assert d.span.source is described.source
        out.append((d.code, d.span.source.text[d.span.start : d.span.end]))
    return out


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("bert", {"model_type": ABSENT}, "GP310", "{"),
    ("bert", {"model_type": "barth"}, "GP310", '"model_type": "barth"'),
    ("bert", {"model_type": ["bert"]}, "GP310", '"model_type"'),
    ("llama", {"model_type": "falcon"}, "GP310", '"model_type": "falcon"'),
    ("bert", {"architectures": ["BertForMultipleChoice"]}, "GP311", '"architectures"'),
    ("bert", {"architectures": "BertModel"}, "GP311", '"architectures": "BertModel"'),
    ("bert", {"architectures": [7]}, "GP311", '"architectures"'),
    ("gpt2", {"architectures": ["GPT2DoubleHeadsModel"]}, "GP311", '"architectures"'),
    ("bert", {"hidden_sise": 48}, "GP312", '"hidden_sise": 48'),
    ("llama", {"sliding_window": 4096}, "GP312", '"sliding_window": 4096'),
    ("gpt2", {"rope_theta": 10000.0}, "GP312", '"rope_theta": 10000.0'),
    (
        "bert",
        {"position_embedding_type": "relative_key"},
        "GP313",
        '"position_embedding_type": "relative_key"',
    ),
    ("bert", {"hidden_act": "mish"}, "GP313", '"hidden_act": "mish"'),
    ("bert", {"hidden_act": None}, "GP313", '"hidden_act": null'),
    ("bert", {"is_decoder": True}, "GP313", '"is_decoder": true'),
    ("bert", {"is_decoder": 1}, "GP313", '"is_decoder": 1'),
    ("bert", {"pruned_heads": {"0": [1]}}, "GP313", '"pruned_heads"'),
    ("bert", {"tie_word_embeddings": "yes"}, "GP313", '"tie_word_embeddings": "yes"'),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "GP313", '"scale_attn_by_inverse_layer_idx": true'),
    ("gpt2", {"scale_attn_weights": False}, "GP313", '"scale_attn_weights": false'),
    ("gpt2", {"scale_attn_weights": 1}, "GP313", '"scale_attn_weights": 1'),
    ("bert", {"is_decoder": 0}, "GP313", '"is_decoder": 0'),
    ("gpt2", {"add_cross_attention": True}, "GP313", '"add_cross_attention": true'),
    ("gpt2", {"activation_function": ["gelu"]}, "GP313", '"activation_function"'),
    ("llama", {"quantization_config": {"quant_method": "gptq"}}, "GP313", '"quantization_config"'),
    ("llama", {"auto_map": {"AutoModel": "x.Y"}}, "GP313", '"auto_map"'),
    ("llama", {"attention_bias": 1}, "GP313", '"attention_bias": 1'),
    ("llama", {"per_layer_config": {"0": {"intermediate_size": 8}}}, "GP313", '"per_layer_config"'),
    ("bert", {"hidden_size": ABSENT}, "GP314", "{"),
    ("bert", {"hidden_size": None}, "GP314", "{"),
    ("llama", {"intermediate_size": ABSENT}, "GP314", "{"),
    ("bert", {"hidden_size": "48"}, "GP315", '"hidden_size": "48"'),
    ("bert", {"hidden_size": 48.0}, "GP315", '"hidden_size": 48.0'),
    ("bert", {"hidden_size": True}, "GP315", '"hidden_size": true'),
    ("bert", {"hidden_size": 0}, "GP315", '"hidden_size": 0'),
    ("bert", {"hidden_size": -48}, "GP315", '"hidden_size": -48'),
    ("bert", {"hidden_size": 10**30}, "GP315", f'"hidden_size": {10**30}'),
    ("bert", {"num_hidden_layers": 10**6}, "GP315", '"num_hidden_layers": 1000000'),
    ("bert", {"type_vocab_size": 0}, "GP315", '"type_vocab_size": 0'),
    ("bert", {"id2label": {}}, "GP315", '"id2label": {}'),
    ("bert", {"id2label": 3}, "GP315", '"id2label": 3'),
    ("bert", {"num_attention_heads": 7}, "GP316", '"num_attention_heads": 7'),
    ("bert", {"num_attention_heads": 96}, "GP316", "{"),
    ("gpt2", {"n_head": 5}, "GP316", '"n_head": 5'),
    ("llama", {"num_key_value_heads": 4}, "GP316", '"num_key_value_heads": 4'),
    (
        "llama",
        {"num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": 8},
        "GP316",
        '"num_attention_heads": 5',
    ),
    ("llama", {"head_dim": 7}, "GP316", '"head_dim": 7'),
    ("llama", {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "GP318", '"rope_scaling"'),
    ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4}}, "GP318", '"rope_parameters"'),
    ("llama", {"rope_parameters": "default"}, "GP318", '"rope_parameters": "default"'),
    ("llama", {"rope_parameters": {"rope_theta": 1e4, "scale": 2}}, "GP318", '"rope_parameters"'),
    ("llama", {"rope_scaling": {"type": "linear"}}, "GP318", '"rope_scaling"'),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 0.5}}, "GP318", '"rope_scaling"'),
    ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "GP318", '"rope_scaling"'),
    ("llama", {"rope_scaling": {"rope_type": ["llama3"]}}, "GP318", '"rope_scaling"'),
    ("llama", {"rope_theta": "1e4"}, "GP318", '"rope_theta": "1e4"'),
    ("llama", {"rope_theta": 0}, "GP318", '"rope_theta": 0'),
    ("llama", {"partial_rotary_factor": 0.5}, "GP318", '"partial_rotary_factor": 0.5'),
    ("bert", {"layer_norm_eps": "small"}, "GP319", '"layer_norm_eps": "small"'),
    ("bert", {"layer_norm_eps": -1e-5}, "GP319", '"layer_norm_eps": -1e-05'),
    ("llama", {"rms_norm_eps": True}, "GP319", '"rms_norm_eps": true'),
    ("llama", {"rms_norm_eps": 10**60}, "GP319", f'"rms_norm_eps": {10**60}'),
    ("llama", {"dtype": "int8"}, "GP320", '"dtype": "int8"'),
    ("llama", {"torch_dtype": 32}, "GP320", '"torch_dtype": 32'),
    ("mistral", {"sliding_window": 0}, "GP350", '"sliding_window": 0'),
    ("mistral", {"sliding_window": "all"}, "GP350", '"sliding_window": "all"'),
    ("mistral", {"sliding_window": True}, "GP350", '"sliding_window": true'),
    ("mistral", {"attention_bias": True}, "GP313", '"attention_bias": true'),
    ("mistral", {"layer_types": ["full_attention"] * 3}, "GP312", '"layer_types"'),
    ("mistral", {"num_key_value_heads": ABSENT}, "GP314", "{"),
    ("qwen2", {"use_sliding_window": 1}, "GP350", '"use_sliding_window": 1'),
    ("qwen2", {"use_sliding_window": True, "max_window_layers": -1}, "GP350", '"max_window_layers": -1'),
    ("qwen2", {"layer_types": "full_attention"}, "GP350", '"layer_types": "full_attention"'),
    ("qwen2", {"layer_types": ["chunked_attention"] * 3}, "GP350", '"layer_types"'),
    ("qwen2", {"layer_types": ["full_attention"] * 2}, "GP350", '"layer_types"'),
    ("qwen2", {"layer_types": ["sliding_attention"] * 3}, "GP350", '"layer_types"'),
    ("qwen2", {"attention_bias": False}, "GP312", '"attention_bias": false'),
    ("qwen3", {"head_dim": ABSENT}, "GP314", "{"),
    ("roberta", {"pad_token_id": None}, "GP351", '"pad_token_id": null'),
    ("roberta", {"pad_token_id": 31}, "GP351", '"pad_token_id": 31'),
    ("roberta", {"pad_token_id": 23}, "GP351", '"pad_token_id": 23'),
    ("roberta", {"directionality": "bidi"}, "GP312", '"directionality": "bidi"'),
    ("gpt2", {"hidden_size": 64}, "GP321", '"hidden_size": 64'),
    ("gpt2", {"n_ctx": 12}, "GP321", '"n_ctx": 12'),
]


@pytest.mark.parametrize(
    ("family", "changes", "code", "place"),
    BAD,
    ids=[f"{b[2]}-{next(iter(b[1]))}-{i}" for i, b in enumerate(BAD)],
)
def test_refused(family: str, changes: dict[str, Any], code: str, place: str) -> None:
    found = _errors({**CONFIGS[family], **changes})
    assert (code, place) in found


def test_all_mistakes_in_one_run() -> None:
    data = {**CONFIGS["bert"], "hidden_size": "x", "vocab": 1, "is_decoder": True, "layer_norm_eps": 2}
    assert [code for code, _ in _errors(data)] == ["GP315", "GP312", "GP313", "GP319"]


def test_one_wrong_size_is_not_reported_twice() -> None:
    assert _errors({**CONFIGS["bert"], "hidden_size": "48"}) == [("GP315", '"hidden_size": "48"')]


def test_unknown_key_has_a_way_out() -> None:
    described = config({**CONFIGS["bert"], "hidden_dropout_porb": 0.1})
    with pytest.raises(DiagnosticError) as caught:
        bind(detect(described), described)
    help = " ".join(caught.value.diagnostics[0].help)
    assert "hidden_dropout_prob" in help
    assert "--family" in help


def test_defaults_of_absent_keys() -> None:
    bert, gpt2, llama = model("bert"), model("gpt2"), model("llama", num_key_value_heads=None)
    assert (bert.tied, gpt2.tied, llama.tied) == (True, True, False)
    assert bert.eps(bert.modules["embeddings.LayerNorm"]) == 1e-12
    assert gpt2.eps(gpt2.modules["ln_f"]) == 1e-5
    assert gpt2.sizes["ffn"] == 4 * 48
    assert llama.sizes["kv_heads"] == 6
    assert llama.sizes["head_dim"] == 8
    assert {m.dtype for m in (bert, gpt2, llama)} == {"F32"}


def test_dtype_words() -> None:
    assert model("llama", torch_dtype="bfloat16").dtype == "BF16"
    assert model("llama", dtype="float16", torch_dtype="bfloat16").dtype == "F16"


def test_windows() -> None:
    assert model("mistral").windows == (4096,) * 3
    assert model("mistral", sliding_window=None).windows == (None,) * 3
    assert model("mistral", sliding_window=4).windows == (4, 4, 4)
    assert model("llama").windows == (None,) * 3
    assert model("qwen2").windows == (None,) * 3
    on = {"use_sliding_window": True, "sliding_window": 4}
    assert model("qwen2", **on).windows == (None,) * 3  # max_window_layers 28
    assert model("qwen2", **on, max_window_layers=1).windows == (None, 4, 4)
    listed = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    assert model("qwen2", **on, **listed).windows == (4, None, 4)


def test_biases_of_qwen2() -> None:
    assert {n for n, m in model("qwen2").modules.items() if m.bias} == {
        f"layers.self_attn.{p}_proj" for p in "qkv"
    }


def test_activation_is_named_in_the_statements() -> None:
    assert "gelu_new" in str(model("bert", hidden_act="gelu_pytorch_tanh").block)
    assert "relu" in str(model("gpt2", activation_function="relu").block)
    assert "'act'" not in str(model("llama").block)


def test_biases_follow_the_config() -> None:
    plain, biased = model("llama"), model("llama", attention_bias=True)
    assert not any(m.bias for m in plain.modules.values())
    assert {n for n, m in biased.modules.items() if m.bias} == {f"layers.self_attn.{p}_proj" for p in "qkvo"}


def test_unused_modules_are_left_out() -> None:
    assert "pooler.dense" not in model("bert").modules
    assert "lm_head" in model("gpt2", tie_word_embeddings=False).modules
    assert "lm_head" not in model("gpt2").modules


def test_carried_keys() -> None:
    kept = {"_name_or_path": "x", "id2label": {"0": "a"}, "hidden_dropout_prob": 0.1, "use_cache": False}
    assert model("bert", **kept).config["_name_or_path"] == "x"


# whatever a config holds, only diagnostics come out ------------------------------------------------

_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(
        st.sampled_from(["rope_type", "rope_theta", "0", "x"]),
        st.none() | st.integers() | st.text(max_size=3),
        max_size=2,
    ),
)
_more = [
    "hidden_act",
    "activation_function",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "head_dim",
    "id2label",
]
_more += [
    "num_labels",
    "n_ctx",
    "tie_word_embeddings",
    "dtype",
    "layer_norm_eps",
    "quantization_config",
    "zzz",
]


@settings(max_examples=200)
@given(st.data())
@pytest.mark.parametrize("family", list(CONFIGS))
def test_only_diagnostics(family: str, data: st.DataObject) -> None:
    base = dict(CONFIGS[family])
    keys = st.sampled_from([*base, *_more]) | st.text(max_size=6)
    for key in data.draw(st.lists(keys, min_size=1, max_size=4)):
        if data.draw(st.booleans()) and key in base:
            del base[key]
        else:
            base[key] = data.draw(_values)
    described = config(base)
    try:
        bound = bind(detect(described), described)
    except DiagnosticError as error:
        assert all(d.span is not None for d in error.diagnostics)
    else:
        assert all(size >= 1 for size in bound.sizes.values())
