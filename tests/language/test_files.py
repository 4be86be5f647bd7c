"""Files, `extends`, `vars` across files, and `--set`."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import canonical, guess_syntax, parse_file, parse_text, plan_hash, step_text


def write(folder: Path, **files: str) -> Path:
    """Files by name (`base__grow` is base.grow, the rest YAML); returns the last."""
    path = folder
    for name, text in files.items():
        path = folder / (name.replace("__", ".") if "__" in name else name + ".grow.yaml")
        path.write_text(text, encoding="utf-8")
    return path


def lines(path: Path, *overrides: str) -> list[str]:
    return [step_text(step, label=True) for step in parse_file(path, overrides).steps]


def codes(path: Path, *overrides: str) -> list[tuple[str, str]]:
    """(place, code) of every diagnostic, with the folder cut off."""
    with pytest.raises(DiagnosticError) as caught:
        parse_file(str(path), overrides)
    return [
        (str(d.span).replace(str(path.parent) + "/", "") if d.span else "", d.code)
        for d in caught.value.diagnostics
    ]


def test_extends_puts_the_parents_steps_first_and_the_childs_keys_on_top(tmp_path: Path) -> None:
    child = write(
        tmp_path,
        base="source: a\nseed: 1\ntarget: t\n"
        "steps: [widen hidden x2, 'deep: stack depth x2', widen hidden x3]\n",
        child="extends: base.grow.yaml\nseed: 2\n"
        "steps:\n- {id: widen-hidden, widen: ffn, by: 4}\n- widen hidden x9\n",
    )
    plan = parse_file(child)
    assert (plan.source, plan.seed, plan.target, plan.path) == ("a", 2, "t", str(child))
    assert [step_text(step, label=True) for step in plan.steps] == [
        "widen-hidden: widen ffn x4",
        "deep: stack depth x2",
        "widen-hidden-2: widen hidden x3",
        "widen-hidden-3: widen hidden x9",
    ]
    assert plan.steps[0].span is not None and plan.steps[0].span.source.name == str(child)
    assert plan.steps[1].span is not None and plan.steps[1].span.source.name.endswith("base.grow.yaml")


def test_a_child_may_have_no_steps_and_another_syntax(tmp_path: Path) -> None:
    write(tmp_path, base__grow="source ./m; widen hidden x2")
    child = write(tmp_path, child="extends: ./base.grow\ntarget: t\n")
    assert lines(child) == ["widen-hidden: widen hidden x2"]
    grandchild = write(tmp_path, last__grow="extends child.grow.yaml; stack depth x2")
    assert lines(grandchild) == ["widen-hidden: widen hidden x2", "stack-depth: stack depth x2"]


def test_paths_of_a_parent_are_relative_to_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    base = "source: ./m\nfamily: /abs/f.yaml\nsteps: [grow hidden to 5 via ligo on ../data.txt]\n"
    write(tmp_path / "lib", base=base)
    child = write(tmp_path, child="extends: lib/base.grow.yaml\ntarget: ./out\n")
    plan = parse_file(child)
    assert (plan.source, plan.target, plan.family) == ("lib/m", "./out", "/abs/f.yaml")
    assert plan.steps[0].on == "data.txt"


def test_variables_of_the_child_reach_the_parents_steps(tmp_path: Path) -> None:
    base = "vars: {w: 768, m: fpi}\nsteps:\n- widen hidden to ${w} via ${m}\n- {widen: ffn, to: '${w}'}\n"
    child = write(tmp_path, base=base, child="extends: base.grow.yaml\nvars: {w: 1024}\n")
    assert lines(child) == ["widen-hidden: widen hidden to 1024 via fpi", "widen-ffn: widen ffn to 1024"]
    assert lines(child, "vars.w=5", "vars.m=x") == [
        "widen-hidden: widen hidden to 5 via x",
        "widen-ffn: widen ffn to 5",
    ]


def test_a_quoted_reference_is_what_the_variable_is() -> None:
    text = "vars: {{n: {}}}\nsteps: [{{widen: a, key: '${{n}}', word: '${{n}}0', path: $${{n}}}}]"
    options = parse_text(text.format("5").replace(", path: $${n}", "")).steps[0].options
    assert options == {"key": 5, "word": "50"}
    options = parse_text(text.format('"5"').replace(", path: $${n}", "")).steps[0].options
    assert options == {"key": "5", "word": "50"}
    assert parse_text("vars: {n: 5}\nsource: a$${n}${n}\nsteps: [widen a]").source == "a${n}5"


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("w.to=1024", "w: widen hidden 384→1024 via fpi, split even"),
        ("w.by=2", "w: widen hidden 384 x2 via fpi, split even"),
        ("w.from=5", "w: widen hidden 5→768 via fpi, split even"),
        ("w.hidden=x3", "w: widen hidden 384 x3 via fpi, split even"),
        ("w.hidden=5→6", "w: widen hidden 5→6 via fpi, split even"),
        ("w.via=lemon", "w: widen hidden 384→768 via lemon, split even"),
        ("w.split=comp", "w: widen hidden 384→768 via fpi, split comp"),
        ("w.noise = 1e-4", "w: widen hidden 384→768 via fpi, split even, noise 0.0001"),
        ('w.note="a b"', 'w: widen hidden 384→768 via fpi, split even, note "a b"'),
        ("w.expect=exact", "w: widen hidden 384→768 via fpi, split even, expect exact"),
    ],
)
@pytest.mark.parametrize("spelling", ["w: widen hidden 384→768 via fpi, split even", None])
def test_set_changes_the_parsed_step_in_either_spelling(
    spelling: str | None, setting: str, line: str
) -> None:
    step = spelling or "{widen: hidden, from: 384, to: 768, via: fpi, split: even, id: w}"
    plan = parse_text(f"steps:\n- {step}\n", overrides=[setting])
    assert step_text(plan.steps[0], label=True) == line


def test_set_reaches_headers_grow_and_upcycle() -> None:
    text = (
        "source: a\nsteps: [{grow: {hidden: 5, depth: 6}, via: l}, upcycle ffn to 8 experts, stack depth x2]"
    )
    settings = ["seed=3", "source=b", "target=t", "family=f"]
    settings += ["grow-hidden-depth.depth=9", "grow-hidden-depth.data=c.txt", "grow-hidden-depth.steps=4"]
    plan = parse_text(text, overrides=[*settings, "upcycle-ffn.experts=16", "stack-depth.to=24"])
    assert (plan.seed, plan.source, plan.target, plan.family) == (3, "b", "t", "f")
    assert [step_text(step) for step in plan.steps] == [
        "grow hidden to 5, depth to 9 via l on c.txt for 4 steps",
        "upcycle ffn to 16 experts",
        "stack depth to 24",
    ]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("seed", "--set:1:1 GP036"),
        ("seed=", "--set:1:1 GP036"),
        ("=3", "--set:1:1 GP036"),
        ("sead=3", "--set:1:1 GP037"),
        ("seed=x", "--set:1:6 GP024"),
        ("seed=012", "--set:1:6 GP009"),
        ("wide.to=3", "--set:1:1 GP037"),
        ("w.id=x", "--set:1:3 GP037"),
        ("w.to=big", "--set:1:6 GP024"),
        ("w.hidden=big", "--set:1:10 GP024"),
        ("w.hidden=a b", "--set:1:10 GP036"),
        ("w.over=3", "--set:1:3 GP041"),
        ("g.to=3", "--set:1:3 GP037"),
        ("vars.b=3", "--set:1:6 GP033"),
    ],
)
def test_set_that_makes_no_sense(setting: str, expected: str) -> None:
    text = "vars: {a: 1}\nsteps: ['w: widen hidden x2', 'g: grow hidden to 2, depth to 3 via l']"
    with pytest.raises(DiagnosticError) as caught:
        parse_text(text, overrides=[setting])
    assert [f"{d.span} {d.code}" for d in caught.value.diagnostics] == [expected]


def test_a_circle_of_plans(tmp_path: Path) -> None:
    path = write(
        tmp_path, a="extends: b.grow.yaml\nsteps: [widen y]", b="extends: ./a.grow.yaml\nsteps: [widen y]"
    )
    assert codes(path) == [("a.grow.yaml:1:10", "GP035")]
    alone = write(tmp_path, c="extends: c.grow.yaml\nsteps: [widen y]")
    assert codes(alone) == [("c.grow.yaml:1:10", "GP035")]


def test_a_parent_that_is_missing_or_broken(tmp_path: Path) -> None:
    assert codes(write(tmp_path, a="extends: no.yaml\nsteps: [widn y]")) == [
        ("a.grow.yaml:1:10", "GP035"),
        ("a.grow.yaml:2:9", "GP021"),
    ]
    child = write(tmp_path, b="steps: [widn y]\ngrowplan: 3", c="extends: b.grow.yaml\nsteps: [widn y]")
    assert codes(child) == [
        ("b.grow.yaml:1:9", "GP021"),
        ("b.grow.yaml:2:11", "GP014"),
        ("c.grow.yaml:2:9", "GP021"),
    ]


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    assert codes(tmp_path / "no.grow") == [("", "GP001")]
    assert codes(tmp_path) == [("", "GP001")]
    assert codes(tmp_path / "bad\0name") == [("", "GP001")]
    (tmp_path / "latin.grow").write_bytes("widen a\n# caf\xe9".encode("latin-1"))
    assert codes(tmp_path / "latin.grow") == [("latin.grow:2:6", "GP002")]
    (tmp_path / "big.grow").write_bytes(b"#" * (1 << 20) + b"#")
    assert codes(tmp_path / "big.grow") == [("", "GP004")]
    (tmp_path / "wide.grow").write_bytes("é".encode() * (1 << 19) + b"#")  # few characters, many bytes
    assert codes(tmp_path / "wide.grow") == [("", "GP004")]
    (tmp_path / "full.grow").write_bytes(b"widen a x2 #".ljust(1 << 20, b"#"))
    assert lines(tmp_path / "full.grow") == ["widen-a: widen a x2"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.grow").write_bytes(b"\xef\xbb\xbfwiden a x2")
    assert lines(tmp_path / "a.grow") == ["widen-a: widen a x2"]
    assert parse_text("\ufeffsteps: [widen a x2]").steps[0].id == "widen-a"


@pytest.mark.parametrize(
    ("name", "text", "syntax"),
    [
        ("a.grow", "steps: []", "dsl"),
        ("a.grow.yaml", "widen a", "yaml"),
        ("a.yml", "widen a", "yaml"),
        ("a.json", "widen a", "yaml"),
        ("<stdin>", "# c\ngrowplan: 1\n", "yaml"),
        ("<stdin>", '{"steps": []}', "yaml"),
        ("<stdin>", "source ./a\nwiden a: b", "dsl"),
        ("unnamed", "a: widen b", "dsl"),
    ],
)
def test_guess_syntax(name: str, text: str, syntax: str) -> None:
    assert guess_syntax(name, text) == syntax


def test_a_reader_stands_in_for_the_file_system() -> None:
    files = {"old/base.grow": b"widen hidden x2"}
    plan = parse_text(
        "extends base.grow; stack depth x2",
        "HEAD~1:old/a.grow",
        "dsl",
        path="old/a.grow",
        reader=files.__getitem__,
    )
    assert canonical(plan).endswith("widen-hidden: widen hidden x2\nstack-depth: stack depth x2\n")
    assert plan.path == "old/a.grow"


def test_files_and_texts_have_the_same_hash(tmp_path: Path) -> None:
    path = write(tmp_path, a="source: m\nsteps: [widen hidden x2]")
    assert plan_hash(parse_file(path)) == plan_hash(parse_text("source m; widen hidden x2", syntax="dsl"))
