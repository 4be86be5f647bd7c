from __future__ import annotations

import pytest
import torch

from growplan.backend.devices import resolve_device
from growplan.backend.dtypes import arithmetic, empty_cpu, raw_bytes, torch_dtype
from growplan.backend.threads import one_thread_each
from growplan.diagnostics import DiagnosticError


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == resolve_device() == torch.device("cpu")


@pytest.mark.parametrize(
    ("count", "word", "device"),
    [(0, "auto", "cpu"), (2, "auto", "cuda:0"), (2, "cuda", "cuda:0"), (2, "cuda:1", "cuda:1")],
)
def test_words_for_devices(monkeypatch: pytest.MonkeyPatch, count: int, word: str, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert resolve_device(word) == torch.device(device)


@pytest.mark.parametrize(
    ("count", "word", "message"),
    [
        (1, "gpu", "there is no device `gpu`"),
        (1, "cuda:", "there is no device"),
        (0, "cuda", "sees no CUDA device"),
        (1, "cuda:1", "1 CUDA devices, counted from 0"),
    ],
)
def test_devices_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, count: int, word: str, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(DiagnosticError, match="GP508") as caught:
        resolve_device(word)
    assert message in caught.value.diagnostics[0].message


def test_dtypes() -> None:
    assert arithmetic("BF16") == arithmetic("F16") == arithmetic("F32") == torch.float32
    assert arithmetic("F64") == torch.float64 and arithmetic("I64") == torch.int64
    with pytest.raises(DiagnosticError, match="GP509"):
        torch_dtype("F8_E4M3")


def test_raw_bytes_are_shared() -> None:
    t = empty_cpu((2,), "I16")
    raw_bytes(t)[:] = bytes([1, 0, 2, 1])
    assert t.tolist() == [1, 258]
    assert len(raw_bytes(torch.zeros(0))) == 0
    with pytest.raises(ValueError, match="contiguous"):
        raw_bytes(torch.zeros(2, 2).T[:, :1].expand(2, 2))


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread_each() as workers:
        assert torch.get_num_threads() == 1 and workers == before
        raise KeyError
    assert torch.get_num_threads() == before
