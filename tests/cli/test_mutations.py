"""Whatever is done to a plan or a config, the answer is a coded diagnostic: never an exception."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.made import run, write_models
from tests.families.configs import CONFIGS

EXAMPLES = 200
FAMILIES = sorted(CONFIGS)

YAML = """\
growplan: 1
source: ./{family}
target: ./out
seed: 7
vars: {{wide: 96}}
steps:
  - widen hidden 48→${{wide}} via fpi, expect exact
  - {{widen: ffn, by: 2, via: fpi, split: even, id: wider}}
  - {{stack: depth, to: 6}}
  - mask-in heads
x-note: mine
"""
DSL = """\
source ./{family}; seed 7
wide: widen hidden 48→96 via fpi
widen ffn x2 via net2net
deepen depth 3→4 via identity, expect none
grow heads to 12, ffn to 400 via fpi  # comment
"""
STAGED_YAML = """\
source: ./{family}
vars: {{rate: 1e-3}}
train: {{on: corpus.txt, lr: "${{rate}}", batch: 4, tokens: 8, tied: freeze}}
stages:
  - {{name: small, train: {{for: 3k tokens}}, freeze: layers 0:1}}
  - name: wide
    steps: [widen hidden 48→96 via fpi, "masked: mask-in ffn x2 over 20"]
    train: {{steps: 40, optimizer: reset}}
  - name: deep
    steps:
      - {{stack: depth, by: 2}}
    train-only: [new-layers, head]
    train: {{for: 40 steps}}
  - {{name: all, train: {{for: 40 steps, sub-models: 2}}}}
"""
STAGED_DSL = """\
source ./{family}; train on corpus.txt for 40 steps, batch 4, tokens 8
stage small; freeze layers 0:1, "*.bias"
stage wide
masked: mask-in ffn x2 over 20
train lr 1e-4, for 20k tokens  # comment
stage deep; stack depth x2; train-only new-layers
"""
WORDS = [
    *["stage", "train", "freeze", "train-only", "for", "tokens", "stages:", "name:", "top 3", "2M", "all"],
    *[
        "widen",
        "stack",
        "deepen",
        "mask-in",
        "grow",
        "upcycle",
        "via",
        "to",
        "x2",
        "over",
        "steps",
        "experts",
        "hidden",
        "ffn",
        "heads",
        "kv_heads",
        "head_dim",
    ],
    *[
        "vocab",
        "positions",
        "depth",
        "labels",
        "fpi",
        "net2net",
        "bert2bert",
        "stackbert",
        "interlace",
        "identity",
        "msg",
        "ligo",
        "expect",
        "exact",
    ],
    *[
        "→",
        "->",
        ":",
        ";",
        ",",
        "-",
        "{",
        "}",
        "[",
        "]",
        "&",
        "*",
        "!",
        "|",
        ">",
        "#",
        "'",
        '"',
        "%",
        "@",
        "`",
        "$",
        "${",
        "$wide",
        "~",
        "?",
        "\t",
        "\n",
        "\r",
        "\\",
        "\x00",
        "\x1b",
        "\u202e",
        "\ufeff",
        "é",
        "隠",
    ],
    *[
        "0",
        "1",
        "-1",
        "3",
        "9",
        "48",
        "49",
        "97",
        "012",
        "0x10",
        "1e4",
        "1e-4",
        "1e400",
        ".5",
        "nan",
        ".inf",
        "12:30",
        "2001-01-01",
        "off",
        "on",
        "yes",
        "null",
        "true",
    ],
    *[
        "&a",
        "*a",
        "!!python/object:os.system",
        "!!int",
        "<<:",
        "---",
        "...",
        "steps:",
        "growplan:",
        "source:",
        "extends:",
        "vars:",
        "seed:",
        "x-a:",
    ],
    "9" * 40,
    "a" * 2000,
    "[" * 300,
    "../../../../etc/passwd",
    "/dev/null",
    "extends: plan.grow.yaml",
]
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        7,
        2**31,
        2**70,
        1.5,
        -0.0,
        1e308,
        "",
        "gelu",
        "48",
        "\x00",
        [],
        [1],
        {},
        {"a": 1},
    ),
    *(
        float("inf"),
        float("nan"),
        ["BertModel"],
        ["NoSuchModel"],
        "relu",
        "silu",
        "gelu_new",
        "llama",
        "mamba",
        48,
        49,
    ),
]

common = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutated_text(draw: st.DrawFn, text: str) -> str:
    """One to four edits of a text: cut, repeat, swap or insert."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 1, 2, 3, 5, 8, 20])))
        filler = draw(st.sampled_from(["", *WORDS, text[start:end] * 2, *map(chr, range(33, 127))]))
        text = text[:start] + filler + text[end:]
    return text


@st.composite
def mutated_config(draw: st.DrawFn, config: dict[str, Any]) -> dict[str, Any]:
    """One to three keys of a config removed, added or given another value."""
    config = dict(config)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(
            st.sampled_from(
                [*sorted(config), "head_dim", "rope_scaling", "dtype", "quantization_config", "x"]
            )
        )
        if draw(st.booleans()):
            config.pop(key, None)
        else:
            config[key] = draw(st.sampled_from(VALUES))
    return config


def assert_answered(*arguments: str) -> None:
    """Exit code 0 or 1; a problem comes with a code and no traceback."""
    result = run(*arguments)
    assert result.exit_code in (0, 1), result.stderr
    assert "internal error" not in result.stderr
    assert "Traceback" not in result.stderr
    if result.exit_code == 1:
        assert "error[GP" in result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_models(tmp_path_factory.mktemp("mutations"))
    (made / "corpus.txt").write_text("a text\n" * 99, encoding="utf-8")
    (made / "staged.grow.yaml").write_text(STAGED_YAML.format(family="gpt2"), encoding="utf-8")
    return made


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def written(name: str, text: str) -> str:
    Path(name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("name", "plan"), [("plan.grow.yaml", YAML), ("plan.grow", DSL)], ids=["yaml", "dsl"]
)
def test_mutated_plans(family: str, name: str, plan: str) -> None:
    base = plan.format(family=family)
    assert run("check", written(name, base)).exit_code == 0, "what is mutated is a plan that checks"

    @common
    @given(mutated_text(base))
    def check(text: str) -> None:
        path = written(name, text)
        assert_answered("check", path)
        assert_answered("textconv", path)

    check()


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize(
    ("name", "plan"), [("plan.grow.yaml", STAGED_YAML), ("plan.grow", STAGED_DSL)], ids=["yaml", "dsl"]
)
def test_mutated_plans_with_stages(family: str, name: str, plan: str) -> None:
    base = plan.format(family=family)
    assert run("check", written(name, base)).exit_code == 0, "what is mutated is a plan that checks"

    @common
    @given(mutated_text(base))
    def check(text: str) -> None:
        path = written(name, text)
        assert_answered("check", path)
        assert_answered("textconv", path)
        assert_answered("diff", "staged.grow.yaml", path, "--no-tensors")
        assert_answered("show", path, "--as", "table")
        assert_answered("fmt", path)

    check()


@pytest.mark.parametrize("command", ["diff", "fmt", "show"])
def test_other_commands_on_mutated_plans(command: str) -> None:
    others: dict[str, Callable[[str], list[str]]] = {
        "diff": lambda path: ["diff", "a.grow.yaml", path],
        "fmt": lambda path: ["fmt", path],
        "show": lambda path: ["show", path, "--as", "json"],
    }

    @common
    @given(mutated_text(YAML.format(family="gpt2")))
    def check(text: str) -> None:
        assert_answered(*others[command](written("plan.grow.yaml", text)))

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_mutated_configs(family: str) -> None:
    model = Path("bad")
    model.mkdir(exist_ok=True)

    @common
    @given(
        mutated_config(CONFIGS[family]),
        st.sampled_from(["widen hidden x2", "widen ffn x3; stack depth x2", ""]),
    )
    def check(config: dict[str, Any], steps: str) -> None:
        (model / "config.json").write_text(json.dumps(config))
        arguments = ["-e", steps] if steps else ["-e", "deepen depth x2"]
        assert_answered("check", *arguments, "--model", os.fspath(model))

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_mangled_config_files(family: str) -> None:
    model = Path("bad")
    model.mkdir(exist_ok=True)

    @common
    @given(mutated_text(json.dumps(CONFIGS[family], indent=1)))
    def check(text: str) -> None:
        written("bad/config.json", text)
        assert_answered("check", "-e", "widen hidden x2", "--model", "bad")

    check()
