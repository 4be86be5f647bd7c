from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growplan.checkpoint.config import config_text, read_config, write_config
from growplan.checkpoint.strictjson import MAX_DEPTH
from growplan.diagnostics import DiagnosticError
from tests.checkpoint.made import failure

GOOD = """{
  "hidden_size": 384,
  "rope_parameters": {
    "rope_theta": 1e5
  },
  "architectures": ["BertModel"]
}
"""


def _config(folder: Path, text: str | bytes) -> Path:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "config.json").write_bytes(data)
    return folder


def test_values_come_with_places(tmp_path: Path) -> None:
    config = read_config(_config(tmp_path, GOOD))
    assert config.data["rope_parameters"] == {"rope_theta": 1e5}
    span = config.span("hidden_size")
    assert span is not None
    assert (span.line, span.column) == (2, 3)
    assert config.source.text[span.start : span.end] == '"hidden_size": 384'
    nested = config.span("rope_parameters.rope_theta")
    assert nested is not None
    assert nested.line == 4
    whole = config.span("rope_parameters")
    assert whole is not None
    assert config.source.text[whole.start : whole.end] == '"rope_parameters"'
    assert config.span("nothing") is None
    assert config.directory == tmp_path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"dtype": "bfloat16"}, "BF16"),
        ({"torch_dtype": "float16"}, "F16"),
        ({"torch_dtype": "torch.float32"}, "F32"),
        ({"dtype": "float32", "torch_dtype": "float16"}, "F32"),
        ({"dtype": None, "torch_dtype": "float16"}, "F16"),
        ({"dtype": {"vision": "float16"}}, None),
        ({}, None),
    ],
)
def test_both_words_for_the_float_type(data: dict[str, Any], expected: str | None, tmp_path: Path) -> None:
    assert read_config(_config(tmp_path, json.dumps(data))).dtype == expected


BAD: dict[str, tuple[str | bytes, str, str, tuple[int, int]]] = {
    "empty": ("", "GP301", "ends too early", (1, 1)),
    "cut": ('{"a": 1,\n "b', "GP301", "unterminated string", (2, 2)),
    "no comma": ('{"a": 1\n "b": 2}', "GP301", "`,` or `}`", (2, 2)),
    "trailing comma": ('{"a": 1,\n}', "GP301", "a comma before `}`", (1, 8)),
    "single quotes": ("{'a': 1}", "GP301", "double quotes", (1, 2)),
    "comment": ('{\n  // size\n  "a": 1}', "GP301", "double quotes", (2, 3)),
    "nan": ('{"a":\n  NaN}', "GP301", "NaN", (2, 3)),
    "infinity": ('{"a": [-Infinity]}', "GP301", "-Infinity", (1, 8)),
    "1e999": ('{"a": 1e999}', "GP301", "too large", (1, 7)),
    "python": ('{"a": True}', "GP301", "a value is expected, found 'T'", (1, 7)),
    "two values": ("{} {}", "GP301", "after the end", (1, 4)),
    "leading zero": ('{"a": 012}', "GP301", "`,` or `}`", (1, 8)),
    "digits": ('{"a": ' + "9" * 5000 + "}", "GP301", "5000 characters", (1, 7)),
    "twice": ('{"a": 1,\n "a": 2}', "GP302", "`a` twice", (2, 2)),
    "twice nested": ('{"x": {"a": 1, "a": 2}}', "GP302", "`a` twice", (1, 16)),
    "list": ("[1]", "GP303", "a list", (1, 1)),
    "number": ("3", "GP303", "a number", (1, 1)),
    "deep": ("[" * 100_000, "GP301", "nested more than 64", (1, MAX_DEPTH + 2)),
    "bom": (b"\xef\xbb\xbf{}", "GP301", "a value is expected", (1, 1)),
    "latin-1": (b'{"name": "caf\xe9"}', "GP301", "not UTF-8", (1, 14)),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "GP301", "not UTF-8", (1, 1)),
    "surrogate": ('{"a": "\\ud800"}', "GP301", "surrogate", (1, 7)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_json_is_refused_at_its_place(case: str, tmp_path: Path) -> None:
    text, code, words, place = BAD[case]
    diagnostic = failure(lambda: read_config(_config(tmp_path, text)))
    assert (diagnostic.code, words in diagnostic.message) == (code, True), diagnostic.message
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.column) == place
    assert diagnostic.span.source.name == str(tmp_path / "config.json")


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(data=st.dictionaries(st.text(), JSON_VALUES, max_size=5), indent=st.sampled_from([None, 2]))
def test_reads_what_json_reads(
    data: dict[str, Any], indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data.pop("quantization_config", None)
    text = json.dumps(data, indent=indent)
    config = read_config(_config(tmp_path_factory.mktemp("c"), text))
    assert config.data == data
    assert config_text(config.data) == json.dumps(data, indent=2, sort_keys=True) + "\n"


@settings(max_examples=400)
@given(text=st.text(alphabet=st.sampled_from('{}[]",:\\ -+.0123456789eEtrufalsn\n\t\0é\U0001f600')))
@example(text="{")
@example(text='{"a"')
@example(text='"\\')
@example(text='{"a":-')
def test_junk_raises_nothing_but_diagnostics(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = _config(tmp_path_factory.mktemp("junk"), text)
    try:
        config = read_config(folder)
    except DiagnosticError as error:
        assert all(d.span is None or d.span.line >= 1 for d in error.diagnostics)
        return
    assert config.data == json.loads(text)


def test_missing_places_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "inner").mkdir()
    _config(tmp_path / "inner", "{}")
    cases = {
        tmp_path / "nowhere": ("GP400", "there is no directory"),
        tmp_path / "file": ("GP400", "is a file"),
        tmp_path / ("x" * 300): ("GP400", "there is no directory"),
        Path("a\0b"): ("GP400", "NUL"),
        tmp_path: ("GP300", "no config.json"),
    }
    for path, (code, words) in cases.items():
        diagnostic = failure(lambda path=path: read_config(path))  # type: ignore[misc]
        assert (diagnostic.code, words in diagnostic.message) == (code, True), diagnostic.message
        assert diagnostic.help
    assert f"did you mean {tmp_path / 'inner'}?" in failure(lambda: read_config(tmp_path)).help


def test_a_hub_id_gets_the_command_that_downloads_it(tmp_path: Path) -> None:
    diagnostic = failure(lambda: read_config(tmp_path / "org" / "name", given="org/name"))
    assert diagnostic.code == "GP400"
    assert "there is no directory org/name" in diagnostic.message
    assert "hf download org/name --local-dir name" in diagnostic.help[0]
    assert not any("hf download" in h for h in failure(lambda: read_config("./org/name")).help)
    assert "plan" not in " ".join(failure(lambda: read_config(tmp_path / "name")).help)


@pytest.mark.parametrize("weights", ["model.safetensors", "model.safetensors.index.json"])
def test_weights_without_a_config_lack_only_the_config(weights: str, tmp_path: Path) -> None:
    (tmp_path / weights).write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("{}")
    diagnostic = failure(lambda: read_config(tmp_path))
    assert (diagnostic.code, diagnostic.message) == ("GP300", f"there is no config.json in {tmp_path}")


def test_quantized_weights_are_refused_at_the_key(tmp_path: Path) -> None:
    text = '{\n  "quantization_config": {"quant_method": "gptq"}\n}'
    diagnostic = failure(lambda: read_config(_config(tmp_path, text)))
    assert diagnostic.code == "GP412"
    assert "gptq" in diagnostic.message
    assert diagnostic.span is not None
    assert diagnostic.span.line == 2


@pytest.mark.parametrize(("name", "code"), [("adapter_config.json", "GP411"), ("pytorch_model.bin", "GP410")])
def test_other_formats_are_named_before_a_missing_config(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    assert failure(lambda: read_config(tmp_path)).code == code


def test_written_as_transformers_writes_it(tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig(hidden_size=48).save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    config = read_config(tmp_path)
    assert write_config(tmp_path, config.data).read_text() == text
