from __future__ import annotations

import hashlib
import struct

import pytest
import torch

from growplan.backend import philox as px

# kat_vectors of Random123 1.14: philox4x32, 10 rounds
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
@pytest.mark.parametrize("size", [1, 37])  # scalar and vector code paths
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...], size: int
) -> None:
    c0, c1, c2, c3 = (torch.full((size,), c) for c in counter)
    got = px.philox((c0, c1, c2, c3), key)
    assert [t.tolist() for t in got] == [[e] * size for e in expected]


def scalar_philox(counter: int, key: tuple[int, int]) -> list[int]:
    """The same rounds on Python integers."""
    c = [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
    k = list(key)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_words_are_the_stream_of_counters() -> None:
    key = px.key_of("seed 0/step/tensor")
    start = 4 * 2**32 - 6  # crosses the carry into the second counter word
    stream = [w for c in range(start // 4, start // 4 + 8) for w in scalar_philox(c, key)]
    skip = start % 4
    assert px.words(key, start, 21).tolist() == stream[skip : skip + 21]


@pytest.mark.parametrize("width", [1, 7, 64, 4099])
@pytest.mark.parametrize("columns", [[0], [0, 1, 2], [2, 0, 5], [0, 60], [3, 4, 5, 6, 7, 8, 9, 10]])
def test_a_grid_is_a_view_of_the_stream(width: int, columns: list[int]) -> None:
    columns = [c for c in columns if c < width] or [0]
    rows, key = torch.tensor([5, 0, 3, 9]), px.key_of("x")
    stream = px.words(key, 0, 10 * width)
    expected = stream.view(10, width)[rows][:, columns]
    got = px.grid(key, rows, torch.tensor(columns), width, lambda w: w)
    assert got.tolist() == expected.tolist()


def test_an_empty_grid() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert px.grid((0, 0), none, torch.arange(3), 3, px.normal).shape == (0, 3)
    assert px.grid((0, 0), torch.arange(3), none, 3, px.normal).shape == (3, 0)


def test_upper_half() -> None:
    s = px.upper_half(torch.tensor([0, 2**32 - 1]))
    assert s.tolist() == [0.5, 1 - 2**-24]
    assert s.dtype == torch.float32


def test_the_normal_table_is_the_same_everywhere() -> None:
    table = px.normal_table()
    assert len(table) == 8192 and list(table) == sorted(table) and table[0] == 0
    digest = hashlib.sha256(struct.pack("<8192d", *table)).hexdigest()
    assert digest == "04cbb9426aa02be2e968b9f1a3ed58ff0fbf8d3ba30a042ad5ffaa47c0138f4d"


def test_normals_are_normal() -> None:
    z = px.normal(px.words(px.key_of("normal"), 0, 400_000))
    assert abs(float(z.mean())) < 0.005
    assert abs(float(z.std()) - 1) < 0.005
    assert abs(float((z**4).mean()) - 3) < 0.08
    for point in (-3.0, -1.0, 0.5, 2.0, 3.5):
        expected = 0.5 * (1 + float(torch.erf(torch.tensor(point / 2**0.5, dtype=torch.float64))))
        assert (
            abs(float((z < point).double().mean()) - expected) < 4 * (expected * (1 - expected) / 4e5) ** 0.5
        )


def test_normals_at_the_ends_of_the_range() -> None:
    z = px.normal(torch.tensor([0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FF80000 - 1, 0x7FF80000])).tolist()
    assert z[0] == 0
    assert 5.4 < z[1] < 5.6 and z[2] == -z[1]
    assert 0 < z[4] - z[3] < 1e-3  # the two levels of the table meet
