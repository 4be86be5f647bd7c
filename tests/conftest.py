"""Fixtures for all tests: golden texts, tiny checkpoints, the seeded slice of `full`."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.tiny import tiny_checkpoint as write_tiny_checkpoint

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"

# two workers on two cores: one thread each, here and in every subprocess
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# how long an example takes says how busy the machine is, and nothing about growplan
settings.register_profile("growplan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("growplan")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("growplan")
    group.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden from what the tests see"
    )
    group.addoption("--slice", metavar="SEED/N", help="run N of the selected tests, drawn by SEED")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`--slice SEED/N`: a seeded sample, the same on every worker. Runs after `-m`."""
    choice = config.getoption("--slice")
    if not choice:
        return
    seed, _, count = choice.partition("/")
    selected = _matching(config, items)
    names = sorted(item.nodeid for item in selected)
    kept = set(random.Random(seed).sample(names, min(int(count), len(names))))
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]


def _matching(config: pytest.Config, items: list[pytest.Item]) -> list[pytest.Item]:
    """The items that `-m` keeps; the sample is drawn from these."""
    from _pytest.mark import Expression, MarkMatcher

    expression = Expression.compile(config.getoption("-m") or "True")
    return [i for i in items if expression.evaluate(MarkMatcher.from_markers(i.iter_markers()))]


class Golden:
    """Compare text with `tests/golden/<folder>/<test module>/<test>[.<name>].txt`."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        module = Path(request.node.path).relative_to(TESTS).with_suffix("")
        self.folder = GOLDEN / module
        self.test = re.sub(r"[^\w.=,+-]+", "_", request.node.name).strip("_")
        self.update: bool = request.config.getoption("--update-golden")

    def path(self, name: str | None = None) -> Path:
        return self.folder / (f"{self.test}.{name}.txt" if name else f"{self.test}.txt")

    def __call__(self, text: str, name: str | None = None) -> None:
        """Assert that `text` is what the golden file holds; `name` tells several apart."""
        path = self.path(name)
        text = text.rstrip("\n") + "\n"
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            where = path.relative_to(TESTS.parent)
            pytest.fail(f"no golden file {where}; look at the text, then run with --update-golden:\n{text}")
        assert text == path.read_text(encoding="utf-8"), (
            f"differs from {path.relative_to(TESTS.parent)} (--update-golden rewrites it)"
        )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden(text)` or `golden(text, "name")`; `--update-golden` rewrites."""
    return Golden(request)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, float, float], None]:
    """`measured("what", value, bound)` asserts value < bound; the run's summary lists it."""

    def measure(what: str, value: float, bound: float) -> None:
        record_property("measured", f"{what:64} {value:8.1e}  (must be < {bound:.0e})")
        assert value < bound

    return measure


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the tests measured, in one table at the end."""
    reports = [r for key in ("passed", "failed") for r in terminalreporter.stats.get(key, ())]
    lines = [str(text) for r in reports for key, text in r.user_properties if key == "measured"]
    if lines:
        terminalreporter.section("measured")
        for line in sorted(lines):
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Callable[..., Path]:
    """`tiny_checkpoint("gpt2", tmp_path / "src", dtype="float64", n_embd=64)`: see tests/tiny.py."""
    return write_tiny_checkpoint
