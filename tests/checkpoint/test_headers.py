from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growplan.checkpoint.headers import find_headers, read_file_header, read_headers
from growplan.diagnostics import DiagnosticError
from tests.checkpoint.made import TENSORS, failure, raw_file, write_weights

ENTRY: dict[str, Any] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def test_reads_names_types_shapes_and_places(tmp_path: Path) -> None:
    write_weights(tmp_path)
    headers = read_headers(tmp_path)
    assert {name: (t.dtype, t.shape) for name, t in headers.tensors.items()} == TENSORS
    assert headers.total_size == 48 + 10 + 8
    assert headers.parameters == 12 + 5 + 1
    assert headers.files["model.safetensors"].metadata == {"format": "pt"}
    info = headers.tensors["a.weight"]
    assert (tmp_path / info.file).read_bytes()[info.start : info.end] == (b"a.weight" * 6)


HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "GP415", "is empty"),
    "five bytes": (b"\0" * 5, "GP415", "only 5 bytes"),
    "longer than the file": (raw_file({}, length=1000), "GP416", "claims a header of 1,000 bytes"),
    "huge": (raw_file({}, length=2**63), "GP416", "claims a header of"),
    "above the limit": (raw_file({}, length=100_000_001), "GP416", "100,000,000 is the most"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "GP416", "claims"),
    "not utf-8": (raw_file(b'{"\xff": 1}'), "GP417", "not UTF-8 (byte 2)"),
    "not json": (raw_file(b"hello"), "GP417", "not JSON"),
    "no bytes of json": (raw_file(b""), "GP417", "not JSON"),
    "a list": (raw_file([1]), "GP417", "a list, not an object"),
    "nested": (raw_file(b'{"a":' + b"[" * 100_000), "GP417", "nested without end"),
    "long integer": (raw_file(b'{"a":' + b"1" * 5000 + b"}"), "GP417", "not JSON"),
    "NaN": (raw_file(b'{"a": NaN}'), "GP417", "NaN"),
    "twice": (raw_file(b'{"a": 1, "b": 2, "a": 3}'), "GP418", "`a` twice"),
    "entry is a number": (raw_file({"a": 1}), "GP418", "without exactly"),
    "no shape": (raw_file({"a": {"dtype": "F32", "data_offsets": [0, 4]}}), "GP418", "without exactly"),
    "more fields": (raw_file({"a": {**ENTRY, "x": 1}}, b"\0" * 4), "GP418", "without exactly"),
    "negative shape": (raw_file({"a": {**ENTRY, "shape": [-1]}}, b"\0" * 4), "GP418", "shape [-1]"),
    "boolean shape": (raw_file({"a": {**ENTRY, "shape": [True]}}, b"\0" * 4), "GP418", "shape [True]"),
    "float shape": (raw_file({"a": {**ENTRY, "shape": [1.0]}}, b"\0" * 4), "GP418", "shape [1.0]"),
    "rank": (raw_file({"a": {**ENTRY, "shape": [1] * 40}}, b"\0" * 4), "GP418", "shape"),
    "one offset": (raw_file({"a": {**ENTRY, "data_offsets": [0]}}, b"\0" * 4), "GP418", "offsets [0]"),
    "negative offset": (raw_file({"a": {**ENTRY, "data_offsets": [-4, 0]}}, b"\0" * 4), "GP418", "offsets"),
    "surrogate": (raw_file(b'{"\\ud800": 1}'), "GP418", "not printable"),
    "escape code": (raw_file({"\x1b[2J": ENTRY}, b"\0" * 4), "GP418", "not printable"),
    "metadata": (raw_file({"__metadata__": {"format": 1}}), "GP418", "map of strings"),
    "dtype": (raw_file({"a": {**ENTRY, "dtype": "F31"}}, b"\0" * 4), "GP419", "F31"),
    "dtype list": (raw_file({"a": {**ENTRY, "dtype": []}}, b"\0" * 4), "GP419", "stores `a`"),
    "too few bytes": (raw_file({"a": {**ENTRY, "shape": [2]}}, b"\0" * 4), "GP420", "takes 8"),
    "backwards": (raw_file({"a": {**ENTRY, "data_offsets": [4, 0]}}, b"\0" * 4), "GP420", "takes 4"),
    "half a byte": (
        raw_file({"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 1]}}, b"\0"),
        "GP420",
        "no whole number",
    ),
    "overflow": (raw_file({"a": {**ENTRY, "shape": [2**61, 2**61]}}, b"\0" * 4), "GP420", "takes"),
    "truncated": (raw_file({"a": ENTRY}, b"\0" * 3), "GP421", "is truncated: `a` ends 1 bytes past"),
    "trailing": (raw_file({"a": ENTRY}, b"\0" * 5), "GP421", "1 bytes at its end"),
    "hole": (raw_file({"a": {**ENTRY, "data_offsets": [4, 8]}}, b"\0" * 8), "GP421", "4 bytes before `a`"),
    "overlap": (
        raw_file({"a": ENTRY, "b": {**ENTRY, "data_offsets": [2, 6]}}, b"\0" * 6),
        "GP421",
        "`b` over another tensor",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    data, code, words = HOSTILE[case]
    (tmp_path / "model.safetensors").write_bytes(data)
    diagnostic = failure(lambda: read_headers(tmp_path))
    assert diagnostic.code == code
    assert words in diagnostic.message
    assert str(tmp_path / "model.safetensors") in diagnostic.message
    assert diagnostic.help
    assert diagnostic.message.isprintable()
    assert len(diagnostic.message) < 1000


@pytest.fixture(scope="module")
def valid_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("valid")
    write_weights(folder)
    return (folder / "model.safetensors").read_bytes()


@settings(max_examples=400)
@given(data=st.data())
def test_mutated_files_raise_nothing_but_diagnostics(
    data: st.DataObject, valid_file: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    raw = bytearray(valid_file)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "cut", "text"]))
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        if kind == "flip" and raw:
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif kind == "delete":
            del raw[at : at + data.draw(st.integers(1, 16))]
        elif kind == "cut":
            del raw[at:]
        else:
            digits = data.draw(st.sampled_from([b"-", b"9", b"1e9", b"null", b"NaN", b'"', b"[", b"\\u0000"]))
            raw[at : at + len(digits)] = digits
    (folder / "model.safetensors").write_bytes(raw)
    try:
        headers = read_headers(folder)
    except DiagnosticError:
        return
    assert sum(t.nbytes for t in headers.tensors.values()) <= len(raw)


@settings(max_examples=200)
@given(
    shapes=st.lists(
        st.tuples(
            st.sampled_from(
                ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E5M2"]
            ),
            st.lists(st.integers(0, 4), max_size=3),
        ),
        max_size=6,
    ),
    shift=st.integers(-3, 3),
)
def test_agrees_with_the_safetensors_library(
    shapes: list[tuple[str, list[int]]], shift: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the library opens, growplan opens with the same facts; what it refuses, growplan refuses."""
    from safetensors import SafetensorError, safe_open

    from growplan.checkpoint.dtypes import nbytes

    path = tmp_path_factory.mktemp("library") / "model.safetensors"
    header: dict[str, Any] = {}
    at = 0
    for i, (dtype, shape) in enumerate(shapes):
        size = nbytes(dtype, tuple(shape)) or 0
        header[f"t{i}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    path.write_bytes(raw_file(header, b"\0" * max(0, at + shift)))
    try:
        with safe_open(path, "np") as file:
            theirs = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        assert failure(lambda: read_file_header(path)).code == "GP421"
        return
    _, ours = read_file_header(path)
    assert {name: list(info.shape) for name, info in ours.items()} == theirs


# sharded -----------------------------------------------------------------------------------------


def _sharded(folder: Path) -> dict[str, Any]:
    write_weights(folder, max_shard_bytes=50)
    index: dict[str, Any] = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == 2
    return index


def _rewrite(folder: Path, index: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    _sharded(tmp_path)
    headers = read_headers(tmp_path)
    assert {name: (t.dtype, t.shape) for name, t in headers.tensors.items()} == TENSORS
    assert headers.index == "model.safetensors.index.json"
    assert len(headers.files) == 2


def test_a_missing_shard_is_named_at_its_line(tmp_path: Path) -> None:
    _sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    diagnostic = failure(lambda: read_headers(tmp_path))
    assert diagnostic.code == "GP414"
    assert "model-00002-of-00002.safetensors" in diagnostic.message
    assert diagnostic.span is not None
    assert "model-00002" in diagnostic.span.source.line(diagnostic.span.line)


@pytest.mark.parametrize(
    "file",
    [
        "../x.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "x.bin",
        3,
        "\0.safetensors",
        "c:x.safetensors",
    ],
)
def test_an_index_that_leads_outside_is_refused(file: Any, tmp_path: Path) -> None:
    index = _sharded(tmp_path)
    index["weight_map"]["a.weight"] = file
    _rewrite(tmp_path, index)
    diagnostic = failure(lambda: read_headers(tmp_path))
    assert diagnostic.code == "GP422"
    assert "`a.weight`" in diagnostic.message
    assert diagnostic.message.isprintable()


@pytest.mark.parametrize("index", [[], {}, {"weight_map": []}, {"weight_map": {}}, 3])
def test_an_index_without_a_map_is_refused(index: Any, tmp_path: Path) -> None:
    _rewrite(tmp_path, index)
    assert failure(lambda: read_headers(tmp_path)).code == "GP422"


def test_index_and_shards_must_name_the_same_tensors(tmp_path: Path) -> None:
    index = _sharded(tmp_path)
    more = {**index, "weight_map": {**index["weight_map"], "z.weight": "model-00001-of-00002.safetensors"}}
    _rewrite(tmp_path, more)
    diagnostic = failure(lambda: read_headers(tmp_path))
    assert (diagnostic.code, "`z.weight`" in diagnostic.message) == ("GP423", True)

    less = {**index, "weight_map": {k: v for k, v in index["weight_map"].items() if k != "b.weight"}}
    _rewrite(tmp_path, less)
    diagnostic = failure(lambda: read_headers(tmp_path))
    assert (diagnostic.code, "does not list" in diagnostic.message) == ("GP423", True)


def test_a_single_file_wins_over_an_index_as_in_transformers(tmp_path: Path) -> None:
    _sharded(tmp_path)
    write_weights(tmp_path, {"only": ("F32", (1,))})
    assert set(read_headers(tmp_path).tensors) == {"only"}


# other formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "way_out"),
    [
        ("pytorch_model.bin", "GP410", "save_pretrained"),
        ("pytorch_model-00001-of-00002.bin", "GP410", "save_pretrained"),
        ("model-Q4_K.gguf", "GP410", "gguf_file="),
        ("tf_model.h5", "GP410", "from_tf=True"),
        ("flax_model.msgpack", "GP410", "from_flax=True"),
        ("model.fp16.safetensors", "GP410", "mv model.fp16.safetensors model.safetensors"),
        ("adapter_config.json", "GP411", "merge_and_unload"),
        ("readme.txt", "GP413", "copy or download"),
    ],
)
def test_other_formats_are_refused_with_the_way_to_convert(
    name: str, code: str, way_out: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"x")
    diagnostic = failure(lambda: read_headers(tmp_path))
    assert diagnostic.code == code
    assert way_out in " ".join(diagnostic.help)


def test_config_alone_has_no_headers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert find_headers(tmp_path) is None


def test_a_pipe_in_place_of_weights_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert failure(lambda: read_headers(tmp_path)).code == "GP415"


def test_a_directory_in_place_of_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    assert failure(lambda: read_headers(tmp_path)).code == "GP415"
