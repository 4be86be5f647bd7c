"""Counter-based random numbers: Philox4x32-10 on int64 tensors, the same on every device.

Philox (Salmon et al., SC 2011): ten rounds of two 32x32 -> 64 bit products under a 64-bit key.
Word w of counter c is element 4 c + w of the stream of a key, so an element's value depends on
(key, element) alone: not on order, threads, row blocks or device. What follows the integers
uses only exact products, one table and single float64 operations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from statistics import NormalDist

import torch
from torch import Tensor

Key = tuple[int, int]
Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MASK = 0xFFFFFFFF
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_CHUNK = 1 << 14  # counters at a time: the temporaries stay in cache

_BITS = 12
_BINS = 1 << _BITS


def key_of(text: str) -> Key:
    """The 64-bit key of a name: the first eight bytes of its sha256."""
    digest = sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def philox(counter: Words, key: Key) -> Words:
    """Ten rounds; every word is an int64 tensor of values below 2^32.

    The products need 64 bits; int64 wraps, and the masks take the unsigned halves.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK).bitwise_xor_(c1).bitwise_xor_(k0),
            p1 & _MASK,
            ((p0 >> 32) & _MASK).bitwise_xor_(c3).bitwise_xor_(k1),
            p0 & _MASK,
        )
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def _block(counters: Tensor, key: Key) -> Tensor:
    """Words of a 1-D tensor of counters, in stream order: `[n] -> [4 n]`."""
    low, high = counters & _MASK, counters >> 32
    zero = torch.zeros_like(low)
    return torch.stack(philox((low, high, zero, zero), key), dim=1).flatten()


def words(key: Key, start: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Elements start : start + count of a key's stream, int64 below 2^32."""
    first, last = start >> 2, (start + count + 3) >> 2
    counters = torch.arange(first, last, device=device)
    skip = start - 4 * first
    return _block(counters, key)[skip : skip + count]


Finish = Callable[[Tensor], Tensor]


def grid(key: Key, rows: Tensor, columns: Tensor, width: int, finish: Finish) -> Tensor:
    """`finish(word)` for the elements row * width + column of a matrix: `[rows, columns]`.

    Neighbouring columns share counters: the hull of the columns is drawn where that is cheaper
    than one counter per element.
    """
    if rows.numel() == 0 or columns.numel() == 0:
        return finish(torch.zeros(rows.numel(), columns.numel(), dtype=torch.int64, device=rows.device))
    hull = int(columns.max()) - int(columns.min()) + 1
    dense = hull <= 4 * columns.numel()
    pick, per_row = (_dense, hull // 4 + 2) if dense else (_sparse, columns.numel())
    step, out = max(1, _CHUNK // per_row), None
    for start in range(0, rows.numel(), step):
        part = finish(pick(key, rows[start : start + step], columns, width))
        if out is None:
            out = part.new_empty(rows.numel(), columns.numel())
        out[start : start + step] = part
    assert out is not None
    return out


def _dense(key: Key, rows: Tensor, columns: Tensor, width: int) -> Tensor:
    low, high = int(columns.min()), int(columns.max()) + 1
    start = rows * width + low
    count = (high - low + 6) // 4  # counters that cover the hull at any alignment
    counters = (start >> 2)[:, None] + torch.arange(count, device=rows.device)
    drawn = _block(counters.flatten(), key).view(rows.numel(), 4 * count)
    if width % 4 == 0 and torch.equal(columns, torch.arange(low, high, device=rows.device)):
        skip = low & 3  # the same in every row
        return drawn[:, skip : skip + high - low]
    at = (start & 3)[:, None] + (columns - low)[None, :]
    return drawn.gather(1, at)


def _sparse(key: Key, rows: Tensor, columns: Tensor, width: int) -> Tensor:
    element = rows[:, None] * width + columns[None, :]
    drawn = _block((element >> 2).flatten(), key).view(*element.shape, 4)
    return drawn.gather(2, (element & 3)[..., None])[..., 0]


def upper_half(word: Tensor) -> Tensor:
    """Uniform in [1/2, 1) with 23 random bits, exact in the float32 it is returned in."""
    return (word >> 9).add_(1 << 23).to(torch.float32).mul_(2.0**-24)


@cache
def normal_table() -> tuple[float, ...]:
    """Quantiles of |z| on a two-level grid, rounded to 2^-20 so that no libm can differ.

    Entries 0 .. 4095 stand at P(|z| < t) = i / 4096; the last bin is cut into 4096 again
    (entries 4095 .. 8191), and the end of the stream's range closes it at |z| = 5.5.
    """
    inverse = NormalDist().inv_cdf
    coarse = [i / _BINS for i in range(_BINS - 1)]
    fine = [(_BINS - 1 + i / _BINS) / _BINS for i in range(_BINS)]
    last = 1 - 2.0 ** -(2 * _BITS + 1)
    return tuple(round(inverse((1 + p) / 2) * 2**20) * 2.0**-20 for p in (*coarse, *fine, last))


def normal(word: Tensor) -> Tensor:
    """Standard normals in float64: sign bit, then linear interpolation in the quantile table.

    Table entries have 20 fractional bits and weights at most 19, so every product is exact.
    """
    low, slope = _signed_table(word.device)
    index = word >> 19  # sign and coarse bin
    z = slope.take(index).mul_((word & 0x7FFFF).to(torch.float64)).add_(low.take(index))
    tail = ((index & 0xFFF) == _BINS - 1).nonzero(as_tuple=True)  # one in 4096
    z[tail] = _tail(word[tail])
    return z


@cache
def _table(device: torch.device) -> Tensor:
    return torch.tensor(normal_table(), dtype=torch.float64, device=device)


@cache
def _signed_table(device: torch.device) -> tuple[Tensor, Tensor]:
    """Value at each coarse bin and slope per unit of the 19-bit weight, negative half second."""
    table = _table(device)
    low = table[:_BINS]
    slope = (table[1 : _BINS + 1] - low) * 2.0**-19
    return torch.cat([low, -low]), torch.cat([slope, -slope])


def _tail(word: Tensor) -> Tensor:
    """Normals of words in the last coarse bin, from the fine half of the table."""
    table = _table(word.device)
    index = _BINS - 1 + ((word >> 7) & 0xFFF)
    low = table[index]
    z = low + (table[index + 1] - low) * ((word & 0x7F).to(torch.float64) * 2.0**-7)
    return torch.where(word >> 31 != 0, -z, z)
