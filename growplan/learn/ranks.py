"""The processes of one run under torchrun: which of them this is, and what they say to each other.

    torchrun --nproc-per-node 2 -m growplan apply PLAN

starts the command N times, with RANK, LOCAL_RANK and WORLD_SIZE in the environment. Every rank reads
the same plan, source and data; a fit cuts each batch over the ranks and adds their gradients up. All else
is the work of the first rank, rank 0, while the others wait.

Tensors go over gloo on CPU and nccl on CUDA; numbers, objects and errors always over gloo, which lets
a rank wait for as long as the first one works.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from growplan.diagnostics import DiagnosticError, fail

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

WAIT = timedelta(days=30)  # a rank waits while the first one writes; one that is gone is noticed at once
BUCKET = 1 << 23  # numbers that are added up in one message


class RankFailed(RuntimeError):
    """Another rank met a fault that is no mistake in the input."""


def place() -> tuple[int, int]:
    """(rank, processes of the run) by the environment; (0, 1) where torchrun started nothing."""
    try:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run. `control` is their gloo group; alone there is none.

    `shard`: fits are cut into pieces, one for each rank.

    Every method but `first` is called by all ranks, in the same order. Each raises GP551 where another
    rank is gone.
    """

    rank: int = 0
    world: int = 1
    control: Any = None
    shard: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the rank that prints and writes."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """What each rank does by itself: it ends when all have done it, and fails on all if it does on one.

        Then every rank raises the diagnostics of the lowest rank that failed, or RankFailed where the
        fault is none of the input's (the rank that has it raises its own). No rank may wait for another
        inside.
        """
        if self.world == 1:
            yield
            return
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        self._agree(error)

    def by_first(self, make: Callable[[], T]) -> T:
        """What `make` returns on the first rank, on all of them; it must be picklable, tensors on the CPU."""
        made: Any = None
        with self.together():
            if self.first:
                made = make()
        if self.world > 1:
            import torch.distributed as dist

            box = [made]
            with _spoken():
                dist.broadcast_object_list(box, src=0, group=self.control)
            made = box[0]
        found: T = made
        return found

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over the ranks, in place; few messages, however many tensors there are.

        The sum has the same bits on every rank.
        """
        if self.world == 1:
            return
        import torch
        import torch.distributed as dist

        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            with _spoken():
                dist.all_reduce(flat)
            at = 0
            for tensor in bucket:
                tensor.copy_(flat[at : at + tensor.numel()].view_as(tensor))
                at += tensor.numel()

    def total(self, number: float) -> float:
        """The sum of a number over the ranks, in float64, the same on all of them."""
        if self.world == 1:
            return number
        import torch
        import torch.distributed as dist

        sums = torch.tensor([number], dtype=torch.float64)
        with _spoken():
            dist.all_reduce(sums, group=self.control)
        return float(sums)

    def same(self, facts: Mapping[str, str]) -> None:
        """GP550 where another rank has other facts than the first: they would not fit one operator."""
        wanted = self.by_first(lambda: dict(facts))
        with self.together():
            other = [name for name, value in facts.items() if wanted.get(name) != value]
            if other:
                found = f"rank {self.rank} has another {' and another '.join(other)} than rank 0"
                way = "give every machine the same files and versions; a shared disk does"
                fail("GP550", found, help=way)

    def _agree(self, error: Exception | None) -> None:
        import torch
        import torch.distributed as dist

        failed = torch.tensor([error is not None], dtype=torch.int32)
        said: list[Any] = [None] * self.world
        with _spoken(error):
            dist.all_reduce(failed, group=self.control)
            if not failed:
                return
            own = error.diagnostics if isinstance(error, DiagnosticError) else error and _told(error)
            dist.all_gather_object(said, own, group=self.control)
        rank, first = next((rank, each) for rank, each in enumerate(said) if each is not None)
        if not isinstance(first, str):
            raise DiagnosticError(*first) from error
        if error is not None and not isinstance(error, DiagnosticError):
            raise error
        raise RankFailed(f"rank {rank}: {first}")


ALONE = Ranks()


@contextmanager
def joined(device: str = "cpu", *, shard: bool = False) -> Iterator[Ranks]:
    """The ranks of this run, connected; `device` (of `own_device`) says how tensors travel.

    A process group that is there already is used and left as it is. Raises GP546 where one process
    alone is to `shard`.
    """
    rank, world = place()
    if world == 1:
        if shard:
            ways = (
                "`torchrun --nproc-per-node 2 -m growplan apply … --shard`",
                "or the option `checkpoint blocks` of the step: one block's weights at a time",
            )
            fail("GP546", "one process has nobody to share an operator with", help=ways)
        yield ALONE
        return
    import torch.distributed as dist

    begun = not dist.is_initialized()
    with _spoken():
        if begun:
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        control = dist.new_group(backend="gloo", timeout=WAIT)
    try:
        yield Ranks(rank, world, control, shard)
    finally:
        if begun:
            dist.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End this process now, when all that it had to do is done.

    Threads of gloo outlive their group where a tensor of a mesh was gathered (torch 2.13). One that lets go
    of a tensor while the interpreter ends aborts the process, and torchrun calls the run a failure.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def own_device(name: str) -> str:
    """The device of this rank: `cuda` and `auto` are the GPU that its place on the machine counts to.

    Raises GP552 where ranks would share a GPU.
    """
    _, world = place()
    if world == 1 or name == "cpu":
        return name
    import torch

    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if name == "auto" and not count:
        return "cpu"
    if name.startswith("cuda:"):
        way = "`--device cuda`: each process takes the GPU of its own number"
        fail("GP552", f"{world} processes cannot all have `{name}`", help=way)
    if 0 < count <= local:
        ways = (f"`torchrun --nproc-per-node {count}`", "or `--device cpu`")
        fail("GP552", f"process {local} of this machine has no GPU: {count} in all", help=ways)
    return f"cuda:{local}" if count else name


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in groups of BUCKET numbers, about."""
    bucket: list[Tensor] = []
    held = 0
    for tensor in tensors:
        bucket.append(tensor)
        held += tensor.numel()
        if held >= BUCKET:
            yield bucket
            bucket, held = [], 0
    if bucket:
        yield bucket


@contextmanager
def gathering() -> Iterator[None]:
    """Around what sends messages on its own (FSDP). GP551 where another rank is gone; other faults stay."""
    import torch.distributed as dist

    try:
        yield
    except RuntimeError as fault:
        if not isinstance(fault, dist.DistError) and "gloo" not in str(fault):
            raise
        with _spoken():
            raise


@contextmanager
def _spoken(error: Exception | None = None) -> Iterator[None]:
    """A message between ranks. GP551 where another rank does not answer; `error` is this rank's own."""
    try:
        yield
    except RuntimeError as lost:
        if error is not None:
            raise error from lost
        ways = (
            "look at what the others printed, or at the memory of the machine",
            "run again with `--resume`",
        )
        fail("GP551", f"another process of this run has ended: {_told(lost)}", help=ways)


def _told(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
