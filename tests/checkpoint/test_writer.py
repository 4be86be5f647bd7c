from __future__ import annotations

import errno
import hashlib
import itertools
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growplan.checkpoint.dtypes import BITS
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.layout import TensorSpec, plan_shards
from growplan.checkpoint.reader import open_reader
from growplan.checkpoint.writer import Writer
from tests.checkpoint.made import TENSORS, content, failure, write_weights

TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "BOOL": "bool",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}


def test_same_bytes_as_the_safetensors_library_for_every_type(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    names = itertools.product(TORCH_NAMES, ["z", "a", "é", "B"])
    specs: dict[str, TensorSpec] = {f"{prefix}.{dtype}": (dtype, (2, 3)) for dtype, prefix in names}
    tensors = {}
    for name, (dtype, shape) in specs.items():
        width = BITS[dtype] // 8
        raw = bytes(6 * width) if dtype == "BOOL" else content(name, 6 * width)
        flat = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        tensors[name] = flat.view(getattr(torch, TORCH_NAMES[dtype])).reshape(shape)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    save_file(tensors, tmp_path / "theirs" / "model.safetensors", {"format": "pt"})
    layout = plan_shards(specs)
    with Writer(tmp_path / "ours", layout) as writer:
        for name, (dtype, _) in specs.items():
            size = 6 * BITS[dtype] // 8
            writer.write(name, bytes(size) if dtype == "BOOL" else content(name, size))
        writer.finish()
    ours = (tmp_path / "ours" / "model.safetensors").read_bytes()
    assert ours == (tmp_path / "theirs" / "model.safetensors").read_bytes()


def test_same_shards_and_index_as_save_pretrained(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=64, n_embd=16, n_head=4, n_layer=2, n_positions=32)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "theirs", max_shard_size="6KB")
    headers = read_headers(tmp_path / "theirs")
    order = [name for name in model.state_dict() if name in headers.tensors]
    layout = plan_shards({n: (headers.tensors[n].dtype, headers.tensors[n].shape) for n in order}, 6000)
    (tmp_path / "ours").mkdir()
    with Writer(tmp_path / "ours", layout) as writer, open_reader(headers) as reader:
        for name in reversed(order):
            writer.copy(name, reader)
        writer.finish()
    files = sorted(path.name for path in (tmp_path / "ours").iterdir())
    assert len(files) == 8
    assert layout.disk_bytes == sum(path.stat().st_size for path in (tmp_path / "ours").iterdir())
    for file in files:
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes(), file
    (tmp_path / "ours" / "config.json").write_text((tmp_path / "theirs" / "config.json").read_text())
    _, info = GPT2LMHeadModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@settings(max_examples=100)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=0, max_size=12),
    limit=st.integers(1, 200),
)
def test_shards_hold_everything_once_and_keep_to_the_limit(sizes: list[int], limit: int) -> None:
    layout = plan_shards({f"t{i}": ("U8", (n,)) for i, n in enumerate(sizes)}, limit)
    assert list(layout.slots) != [] or sizes == []
    assert sorted(layout.slots) == sorted(f"t{i}" for i in range(len(sizes)))
    for shard in layout.shards:
        inside = sorted((s.start, s.end) for s in layout.slots.values() if s.file == shard.file)
        assert len(shard.head) % 8 == 0
        at = len(shard.head)
        for start, end in inside:
            assert start == at
            at = end
        assert at == shard.size
        assert at - len(shard.head) <= limit or len(inside) == 1
    assert layout.total_size == sum(sizes)


def test_bytes_do_not_depend_on_order_blocks_or_threads(tmp_path: Path) -> None:
    specs: dict[str, TensorSpec] = {f"t{i}": ("U8", (1000 + i,)) for i in range(8)}
    layout = plan_shards(specs, 3000)
    pieces = [
        (name, offset, content(name, slot.nbytes)[offset : offset + 97])
        for name, slot in layout.slots.items()
        for offset in range(0, slot.nbytes, 97)
    ]
    expected = {name: hashlib.sha256(content(name, s.nbytes)).hexdigest() for name, s in layout.slots.items()}
    files = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        random.Random(seed).shuffle(pieces)
        with Writer(folder, layout) as writer:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda p, w=writer: w.write(p[0], p[2], p[1]), pieces))  # type: ignore[misc]
            assert writer.finish() == expected
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1] == files[2]


def test_an_incomplete_tensor_is_never_finished(tmp_path: Path) -> None:
    layout = plan_shards({"a": ("U8", (10,)), "b": ("U8", (0,))})
    with Writer(tmp_path, layout) as writer:
        writer.write("a", b"12345", 5)
        diagnostic = failure(writer.finish)
        assert (diagnostic.code, "5 of 10 bytes" in diagnostic.message) == ("GP433", True)
        with pytest.raises(ValueError, match="written twice"):
            writer.write("a", b"xx", 4)
        with pytest.raises(ValueError, match="bytes 8:12 of 10"):
            writer.write("a", b"xxxx", 8)
        writer.write("a", b"abcde")
        writer.write("b", b"")
        assert writer.finish()["a"] == hashlib.sha256(b"abcde12345").hexdigest()


@pytest.fixture(params=["kernel", "EXDEV", "short", "stops"])
def kernel_copy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """copy_file_range as it is, refused, short, and ending early (then the plain read takes over)."""
    real = os.copy_file_range
    calls = itertools.count()

    def fake(src: int, dst: int, count: int, offset_src: int, offset_dst: int) -> int:
        if request.param == "EXDEV":
            raise OSError(errno.EXDEV, "cross-device")
        if request.param == "stops" and next(calls) % 2:
            return 0
        return real(src, dst, min(count, 7), offset_src, offset_dst)

    if request.param != "kernel":
        monkeypatch.setattr(os, "copy_file_range", fake)
    yield


def test_copy_keeps_bytes_whatever_the_kernel_can(tmp_path: Path, kernel_copy: None) -> None:
    source = tmp_path / "source"
    source.mkdir()
    sums = write_weights(source)
    (tmp_path / "out").mkdir()
    layout = plan_shards({f"new.{name}": spec for name, spec in TENSORS.items()})
    with open_reader(read_headers(source)) as reader, Writer(tmp_path / "out", layout) as writer:
        for name in TENSORS:
            writer.copy(f"new.{name}", reader, name)
        assert writer.finish() == {f"new.{name}": sums[name] for name in TENSORS}
        with pytest.raises(ValueError, match="48 bytes, but"):
            writer.copy("new.a.weight", reader, "b.weight")


def test_preallocation_falls_back_to_truncate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no fallocate here")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    write_weights(tmp_path)
    assert read_headers(tmp_path).tensors.keys() == TENSORS.keys()


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "GP430"), (errno.EDQUOT, "GP430"), (errno.EACCES, "GP431"), (errno.EIO, "GP432")],
)
@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fsync"])
def test_errors_of_the_disk_are_diagnostics(
    call: str, number: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, broken)
    diagnostic = failure(lambda: write_weights(tmp_path))
    assert diagnostic.code == code
    assert "model.safetensors" in diagnostic.message


def test_a_really_full_disk_is_a_diagnostic(tmp_path: Path) -> None:
    """A size no disk has: fallocate refuses before anything is written."""
    layout = plan_shards({"a": ("U8", (1 << 55,))})
    assert failure(lambda: Writer(tmp_path, layout)).code in ("GP430", "GP432")


# reading -----------------------------------------------------------------------------------------


def test_reads_slices_into_the_callers_buffer(tmp_path: Path) -> None:
    write_weights(tmp_path)
    with open_reader(read_headers(tmp_path)) as reader:
        buffer = bytearray(10)
        assert reader.read_into("a.weight", buffer, 3) == 10
        assert bytes(buffer) == content("a.weight", 48)[3:13]
        assert reader.bytes_of("b.weight") == content("b.weight", 10)
        assert reader.bytes_of("d.empty") == b""
        with pytest.raises(ValueError, match="bytes 40:50 of 48"):
            reader.read_into("a.weight", buffer, 40)
        assert failure(lambda: reader.bytes_of("nothing")).code == "GP424"


def test_a_source_that_shrinks_is_noticed(tmp_path: Path) -> None:
    write_weights(tmp_path)
    headers = read_headers(tmp_path)
    with open_reader(headers) as reader:
        os.truncate(tmp_path / "model.safetensors", 100)
        assert failure(lambda: reader.bytes_of("a.weight")).code == "GP425"
        assert failure(reader.check_unchanged).code == "GP425"
    assert failure(lambda: open_reader(headers)).code == "GP425"


def test_a_source_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    write_weights(tmp_path)
    headers = read_headers(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "old")
    write_weights(tmp_path)
    assert failure(lambda: open_reader(headers)).code == "GP425"


def test_a_source_that_shrinks_during_a_copy(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "out").mkdir()
    write_weights(tmp_path / "source")
    layout = plan_shards({"a.weight": TENSORS["a.weight"]})
    with open_reader(read_headers(tmp_path / "source")) as reader, Writer(tmp_path / "out", layout) as writer:
        os.truncate(tmp_path / "source" / "model.safetensors", 100)
        assert failure(lambda: writer.copy("a.weight", reader)).code == "GP425"


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    write_weights(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    assert failure(lambda: write_weights(tmp_path)).code == "GP432"
    assert (tmp_path / "model.safetensors").read_bytes() == before
