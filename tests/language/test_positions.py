"""One line for each mistake: where it is reported, and by which code."""

from __future__ import annotations

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text

# (syntax, text, "LINE:COL CODE" of every diagnostic, the text under the first caret)
CASES = [
    # statements of the DSL
    ("dsl", "widn hidden x2", "1:1 GP021", "widn"),
    ("dsl", "a: widn hidden x2", "1:4 GP021", "widn"),
    ("dsl", "source: ./x; widen hidden x2", "1:1 GP021", "source"),
    ("dsl", "widen", "1:6 GP020", ""),
    ("dsl", "a: ", "1:3 GP020", ""),
    ("dsl", "seed", "1:5 GP020", ""),
    ("dsl", "seed 1 2; widen hidden x2", "1:8 GP020", "2"),
    ("dsl", "widen via fpi", "1:7 GP020", "via"),
    ("dsl", "widen x2", "1:7 GP020", "x2"),
    ("dsl", "widen hidden 384", "1:17 GP020", ""),
    ("dsl", "widen hidden 384→", "1:18 GP020", ""),
    ("dsl", "widen hidden 384=>768", "1:17 GP020", "=>768"),
    ("dsl", "widen hidden to 768k", "1:17 GP020", "768k"),
    ("dsl", "widen hidden to 1,024", "1:19 GP020", "024"),
    ("dsl", "widen hidden to -5", "1:17 GP020", "-5"),
    ("dsl", "widen hidden fpi", "1:14 GP020", "fpi"),
    ("dsl", "widen hidden x2 vai fpi", "1:17 GP020", "vai"),
    ("dsl", "widen hidden x2 via", "1:20 GP020", ""),
    ("dsl", "widen hidden x2 via 2net", "1:21 GP020", "2net"),
    ("dsl", "widen hidden x2 via fpi split even", "1:25 GP020", "split"),
    ("dsl", "widen hidden x2, split", "1:23 GP020", ""),
    ("dsl", "widen hidden x2, split=even", "1:23 GP020", "=even"),
    ("dsl", "widen hidden x2, split: even", "1:23 GP020", ":"),
    ("dsl", "widen hidden x2, , split even", "1:18 GP020", ","),
    ("dsl", "widen hidden x2,", "1:17 GP020", ""),
    ("dsl", "widen hidden x2, expect exact please", "1:31 GP020", "please"),
    ("dsl", "grow hidden via ligo", "1:13 GP020", "via"),
    ("dsl", "grow hidden to 9, expect exact", "1:26 GP020", "exact"),
    ("dsl", "grow hidden to 9", "1:17 GP020", ""),
    ("dsl", "grow hidden to 9 via ligo for 10 parts", "1:34 GP020", "parts"),
    ("dsl", "upcycle heads to 8 experts", "1:9 GP020", "heads"),
    ("dsl", "upcycle ffn x8", "1:13 GP020", "x8"),
    ("dsl", "upcycle ffn to 8", "1:17 GP020", ""),
    ("dsl", 'widen hidden x2, note "open', "1:23 GP022", '"'),
    # numbers, fields, ids
    ("dsl", "widen hidden to 0", "1:17 GP023", "0"),
    ("dsl", "widen hidden x1", "1:15 GP023", "1"),
    ("dsl", "widen hidden 0→5", "1:14 GP023", "0"),
    ("dsl", "widen hidden to 012", "1:17 GP009", "012"),
    ("dsl", "widen hidden to 99999999999999999999999", "1:17 GP023", "9" * 23),
    ("dsl", "widen hidden x2, a 1e999", "1:20 GP023", "1e999"),
    ("dsl", "widen hidden x2, a " + "9" * 5000, "1:20 GP023", "9" * 5000),
    ("dsl", "widen hidden x2, a off", "1:20 GP009", "off"),
    ("dsl", "seed -1; widen hidden x2", "1:6 GP023", "-1"),
    ("dsl", "seed 1.5; widen hidden x2", "1:6 GP024", "1.5"),
    ("dsl", 'seed "1"; widen hidden x2', "1:6 GP024", '"1"'),
    ("dsl", "seed 18446744073709551616; widen hidden x2", "1:6 GP023", "18446744073709551616"),
    ("dsl", "growplan 2; widen hidden x2", "1:10 GP014", "2"),
    ("dsl", "widen hidden x2, expect exakt", "1:25 GP024", "exakt"),
    ("dsl", "widen hidden x2 over 5", "1:17 GP041", "over 5"),
    ("dsl", "mask-in heads over 0", "1:20 GP023", "0"),
    ("dsl", "mask-in heads over 5, over 6", "1:23 GP007", "over"),
    ("dsl", "widen hidden via a, via b", "1:21 GP007", "via"),
    ("dsl", "a: widen hidden x2, id b", "1:21 GP007", "id"),
    ("dsl", "seed 1; widen hidden x2; seed 2", "1:26 GP007", "seed"),
    ("dsl", "a: widen hidden x2; a: widen ffn x2", "1:21 GP031", "a"),
    ("dsl", "vars: widen hidden x2", "1:1 GP032", "vars"),
    ("dsl", "widen: widen hidden x2", "1:1 GP032", "widen"),
    ("dsl", "widen hidden x2, id 3a", "1:21 GP032", "3a"),
    ("dsl", "seed 1", "1:7 GP039", ""),
    ("dsl", "# nothing", "1:10 GP039", ""),
    # several at once, in order; good statements between them do no harm
    ("dsl", "widn a\nwiden hidden x2\nstack\n  grow x;y\n",
     "1:1 GP021, 3:6 GP020, 4:8 GP020, 4:10 GP021", "widn"),
    ("dsl", "widen a to 0\nwiden b x1, c off", "1:12 GP023, 2:10 GP023, 2:15 GP009", "0"),
    # YAML: shape
    ("yaml", "", "1:1 GP039", ""),
    ("yaml", "steps:", "1:7 GP039", ""),
    ("yaml", "steps: []", "1:10 GP039", ""),
    ("yaml", "[1, 2]", "1:1 GP013", "[1, 2]"),
    ("yaml", "steps: widen hidden x2", "1:8 GP013", "widen hidden x2"),
    ("yaml", "steps: {widen: hidden}", "1:8 GP013", "{widen: hidden}"),
    ("yaml", "steps: [[widen hidden x2]]", "1:9 GP013", "[widen hidden x2]"),
    ("yaml", "steps: [{}]", "1:9 GP025", "{}"),
    ("yaml", "steps: ['']", "1:10 GP013", ""),
    ("yaml", "steps: [3]", "1:9 GP021", "3"),
    ("yaml", "steps: [seed 3]", "1:9 GP021", "seed"),
    ("yaml", "steps:\n- |\n  widen a x2\n  stack depth x2\n", "4:3 GP013", "stack depth x2"),
    ("yaml", "source: [a]\nsteps: [widen a x2]", "1:9 GP013", "[a]"),
    ("yaml", "source:\nsteps: [widen a x2]", "1:8 GP013", ""),
    ("yaml", "source: |\n  a\n  b\nsteps: [widen a x2]", "1:9 GP013", "|\n  a\n  b"),
    ("yaml", "sead: 1\nsteps: [widen a x2]", "1:1 GP008", "sead"),
    ("yaml", "stages: []", "1:11 GP039", ""),
    ("yaml", "growplan: 2\nsteps: [widen a x2]", "1:11 GP014", "2"),
    ("yaml", "? [a]\n: b\n", "1:3 GP013", "[a]"),
    # YAML: mapping steps
    ("yaml", "steps: [{widenn: hidden}]", "1:10 GP025", "widenn"),
    ("yaml", "steps: [{widen: a, stack: depth}]", "1:20 GP025", "stack"),
    ("yaml", "steps: [{widen: hidden 384→768}]", "1:17 GP024", "hidden 384→768"),
    ("yaml", "steps: [{widen: [a]}]", "1:17 GP013", "[a]"),
    ("yaml", "steps: [{widen: a, to: 5, by: 2}]", "1:31 GP026", "2"),
    ("yaml", "steps: [{widen: a, from: 5}]", "1:26 GP026", "5"),
    ("yaml", "steps: [{widen: a, to: '5'}]", "1:24 GP024", "'5'"),
    ("yaml", "steps: [{widen: a, to: 5.0}]", "1:24 GP024", "5.0"),
    ("yaml", "steps: [{widen: a, to: }]", "1:24 GP013", ""),
    ("yaml", "steps: [{widen: a, to: [5]}]", "1:24 GP013", "[5]"),
    ("yaml", "steps: [{widen: a, via: f p i}]", "1:25 GP024", "f p i"),
    ("yaml", "steps: [{widen: a, 3a: 1}]", "1:20 GP008", "3a"),
    ("yaml", "steps: [{widen: a, over: 3}]", "1:20 GP041", "over: 3"),
    ("yaml", "steps: [{grow: hidden, via: l}]", "1:16 GP013", "hidden"),
    ("yaml", "steps: [{grow: {}, via: l}]", "1:16 GP013", "{}"),
    ("yaml", "steps: [{grow: {a: b c}}]", "1:20 GP024", "b c"),
    ("yaml", "steps: [{grow: {a: much}, via: l}]", "1:20 GP024", "much"),
    ("yaml", "steps: [{grow: {a: 5}, to: 6}]", "1:24 GP025", "to"),
    ("yaml", "steps: [{grow: {a: 5}, on: x, data: y}]", "1:31 GP007", "data"),
    ("yaml", "steps: [{upcycle: ffn}]", "1:9 GP025", "{upcycle: ffn}"),
    ("yaml", "steps: [{upcycle: heads, experts: 5}]", "1:19 GP024", "heads"),
    ("yaml", "steps: [{upcycle: ffn, to: 5, experts: 5}]", "1:24 GP025", "to"),
    ("yaml", "steps:\n- a: widn b\n", "2:3 GP025", "a"),
    ("yaml", "steps:\n- a: widen b vai c\n", "2:14 GP020", "vai"),
    ("yaml", "steps:\n- a: widen b, id c\n", "2:3 GP007", "a"),
    ("yaml", "steps:\n- widen b x2\n- id: 'b c'\n  widen: b\n", "3:7 GP032", "'b c'"),
    # YAML: positions inside lines, in every style of scalar
    ("yaml", "steps:\n  - widen hidden 384→768 vai fpi\n", "2:26 GP020", "vai"),
    ("yaml", "steps:\n  - 'widen hidden 384→768 vai fpi'\n", "2:27 GP020", "vai"),
    ("yaml", "steps:\n  - 'widen hidden x2, a ''b'', c off'\n", "2:34 GP009", "off"),
    ("yaml", 'steps:\n  - "widen hidden 384\\u2192768 vai fpi"\n', "2:32 GP020", "vai"),
    ("yaml", 'steps:\n  - "widen\\x20hidden \\\n    x2 vai fpi"\n', "3:8 GP020", "vai"),
    ("yaml", "steps:\n  - >-\n    widen hidden\n    384→768 vai fpi\n", "4:13 GP020", "vai"),
    ("yaml", "steps:\n  - |\n    widen hidden x2 vai\n", "3:21 GP020", "vai"),
    ("yaml", "steps:\n  - widen hidden\n    x2\n    vai fpi\n", "4:5 GP020", "vai"),
    ("yaml", "steps:\r\n  - widen hidden\r\n    x2 vai fpi\r\n", "3:8 GP020", "vai"),
    ("yaml", "# 𝔸é\nsteps: [widen 𝔸 x2]", "2:15 GP020", "𝔸"),
    # YAML: variables
    ("yaml", "steps: [widen a]\nvars: [b]", "2:7 GP013", "[b]"),
    ("yaml", "vars: {a: [b]}\nsteps: [widen a]", "1:11 GP013", "[b]"),
    ("yaml", "vars: {a b: c}\nsteps: [widen a]", "1:8 GP034", "a b"),
    ("yaml", "vars:\n  a: ${b}\nsteps: [widen a]", "2:6 GP034", "${b}"),
    ("yaml", "vars: {a: off}\nsteps: [widen a]", "1:11 GP009", "off"),
    ("yaml", "steps:\n- widen a to ${b}", "2:14 GP033", "${b}"),
    ("yaml", "steps:\n- widen a to ${b", "2:14 GP033", "${b"),
    ("yaml", "vars: {n: 5k}\nsteps:\n- widen a to ${n} via fpi", "3:14 GP020", "${n}"),
    ("yaml", "vars: {n: 5}\nsteps:\n- widen a to ${n} vai fpi", "3:19 GP020", "vai"),
    # stages, in the DSL
    ("dsl", "stage", "1:6 GP020", ""),
    ("dsl", "stage a b; train for 3 steps", "1:9 GP020", "b"),
    ("dsl", "stage 3a; train for 3 steps", "1:7 GP032", "3a"),
    ("dsl", "stage train; train for 3 steps", "1:7 GP032", "train"),
    ("dsl", "stage a: ; widen b", "1:7 GP032", "a:"),
    ("dsl", "x: stage a; widen b", "1:4 GP021", "stage"),
    ("dsl", "stage: a; widen b", "1:1 GP021", "stage"),
    ("dsl", "train: for 3 steps", "1:1 GP021", "train"),
    ("dsl", "stage: widen b", "1:1 GP032", "stage"),
    ("dsl", "stagee a; widen b", "1:1 GP021", "stagee"),
    ("dsl", "stage a; widen b; stage a; widen c", "1:25 GP031", "a"),
    ("dsl", "stage a; a: widen b", "1:10 GP031", "a"),
    ("dsl", "stage a; w: widen b; stage c; w: widen d", "1:31 GP031", "w"),
    ("dsl", "widen b x2; stage a; widen c", "1:1 GP043", "widen b x2"),
    ("dsl", "train for 3 steps; widen b", "1:1 GP044", "train"),
    ("dsl", "freeze head; stage a; train for 3 steps", "1:1 GP044", "freeze"),
    ("dsl", "stage a; freeze head; widen b", "1:10 GP048", "freeze"),
    ("dsl", "stage a; train for 3 steps; widen b", "1:29 GP046", "widen b"),
    ("dsl", "stage a; train for 3 steps; train for 4 steps", "1:29 GP007", "train"),
    ("dsl", "stage a; widn b", "1:10 GP021", "widn"),
    ("dsl", "stage a; train for 3", "1:21 GP020", ""),
    ("dsl", "stage a; train 3 steps", "1:16 GP020", "3"),
    ("dsl", "stage a; train for 300steps", "1:20 GP020", "300steps"),
    ("dsl", "stage a; train for 3 epochs", "1:22 GP020", "epochs"),
    ("dsl", "stage a; train for 0 steps", "1:20 GP045", "0 steps"),
    ("dsl", "stage a; train for 012 steps", "1:20 GP045", "012 steps"),
    ("dsl", "stage a; train for 1.0005k steps", "1:20 GP045", "1.0005k steps"),
    ("dsl", "stage a; train for 9999999G tokens", "1:20 GP045", "9999999G tokens"),
    ("dsl", "stage a; train for 3 steps, steps 4", "1:29 GP007", "steps"),
    ("dsl", "stage a; train for 3 steps, freeze head", "1:29 GP044", "freeze"),
    ("dsl", "stage a; train lr 1, lr 2, for 3 steps", "1:22 GP007", "lr"),
    ("dsl", "stage a; train for 3 steps, lr off", "1:32 GP009", "off"),
    ("dsl", "stage a; train tokens 2M, for 3 steps", "1:23 GP045", "2M"),
    ("dsl", "stage a; train for 3 steps; freeze", "1:35 GP020", ""),
    ("dsl", "stage a; train for 3 steps; freeze all", "1:36 GP047", "all"),
    ("dsl", "stage a; train for 3 steps; freeze new-layer", "1:36 GP047", "new-layer"),
    ("dsl", "stage a; train for 3 steps; train-only head, top  0", "1:46 GP047", "top  0"),
    ("dsl", "stage a; train for 3 steps; train-only layers 6:3", "1:40 GP047", "layers 6:3"),
    ("dsl", "stage a; train for 3 steps; freeze head; freeze top 3", "1:42 GP007", "freeze"),
    # stages, in YAML
    ("yaml", "stages:", "1:8 GP039", ""),
    ("yaml", "stages: {a: 1}", "1:9 GP013", "{a: 1}"),
    ("yaml", "stages: [small]", "1:10 GP013", "small"),
    ("yaml", "stages: [{}]", "1:10 GP044", "{}"),
    ("yaml", "stages: [{name: }]", "1:17 GP013", ""),
    ("yaml", "stages: [{name: [a]}]", "1:17 GP013", "[a]"),
    ("yaml", "stages: [{train: {steps: 3}}]", "1:11 GP044", "train"),
    ("yaml", "stages:\n- wide:\n    steps: [widen b]\n", "2:3 GP044", "wide"),
    ("yaml", "stages: [{name: a, lr: 3, steps: [widen b]}]", "1:20 GP008", "lr"),
    ("yaml", "stages: [{name: a, steps: widen b}]", "1:27 GP013", "widen b"),
    ("yaml", "stages: [{name: a, steps: [train for 3 steps]}]", "1:28 GP021", "train"),
    ("yaml", "stages: [{name: a, steps: [stage c]}]", "1:28 GP021", "stage"),
    ("yaml", "stages: [{name: a, steps: [widn c]}]", "1:28 GP021", "widn"),
    ("yaml", "stages: [{name: a, train: }]", "1:27 GP013", ""),
    ("yaml", "stages: [{name: a, train: 300}]", "1:27 GP013", "300"),
    ("yaml", "stages: [{name: a, train: {steps: 3, train-only: head}}]", "1:38 GP044", "train-only"),
    ("yaml", "stages: [{name: a, train: {steps: }}]", "1:35 GP013", ""),
    ("yaml", "stages: [{name: a, train: {steps: '3'}}]", "1:35 GP024", "'3'"),
    ("yaml", "stages: [{name: a, train: {steps: many}}]", "1:35 GP045", "many"),
    ("yaml", "stages: [{name: a, train: {for: 300}}]", "1:33 GP045", "300"),
    ("yaml", "stages: [{name: a, train: {steps: 3, for: 4 steps}}]", "1:38 GP007", "for"),
    ("yaml", "stages: [{name: a, train: {for: 3 steps, lr: [1]}}]", "1:46 GP013", "[1]"),
    ("yaml", "stages: [{name: a, train: {for: 3 steps, 3a: 1}}]", "1:42 GP008", "3a"),
    ("yaml", "stages: [{name: a, train: {for: 3 steps, on: off}}]", "1:46 GP009", "off"),
    ("yaml", "stages: [{name: a, train: {for: 3 steps}, freeze: }]", "1:51 GP047", ""),
    ("yaml", "stages: [{name: a, train: {for: 3 steps}, freeze: []}]", "1:51 GP047", "[]"),
    ("yaml", "stages: [{name: a, train: {for: 3 steps}, freeze: {a: b}}]", "1:51 GP013", "{a: b}"),
    ("yaml", "stages: [{name: a, train: {for: 3 steps}, freeze: 'top 3, 4,head'}]", "1:59 GP047", "4"),
    ("yaml", "steps: [widen b]\nstages: [{name: a, steps: [widen c]}]", "1:9 GP043", "widen b"),
    ("yaml", "steps: [widen b]\ntrain: {lr: 1}", "2:1 GP044", "train"),
    ("yaml", "steps: [freeze head]", "1:9 GP021", "freeze"),
    ("yaml", "freeze: head\nsteps: [widen a]", "1:1 GP044", "freeze"),
    ("yaml", "vars: {x: 5}\nstages: [{name: a, train: {for: '${x} epochs'}}]", "2:33 GP045", "'${x} epochs'"),
    ("yaml", "stages: [{name: a, train: {for: '${x} steps'}}]", "1:34 GP033", "${x}"),
    # YAML itself
    ("yaml", "a: b: c", "1:5 GP005", ":"),
    ("yaml", "steps: [widen a x2", "1:19 GP005", ""),
    ("yaml", "steps: [{widen: a, to: ${n}}]", "1:25 GP005", "{"),
    ("yaml", "[" * 60, "1:22 GP005", "["),
    ("yaml", "steps:\n\t- widen a x2", "2:1 GP006", "\t"),
    ("yaml", "seed: 1\nseed: 2\nsteps: [widen a x2]", "2:1 GP007", "seed"),
    ("yaml", "steps: [{widen: a, to: 5, to: 6}]", "1:27 GP007", "to"),
    ("yaml", "x-a: {b: 1, b: 2}\nsteps: [widen a x2]", "1:13 GP007", "b"),
    ("yaml", "seed: !!int 3\nsteps: [widen a x2]", "1:7 GP010", "!!int"),
    ("yaml", "steps: [!x widen a x2]", "1:9 GP010", "!x"),
    ("yaml", "steps: [&a widen a x2]", "1:9 GP011", "&a"),
    ("yaml", "seed: &s 3\nx-a: *s\nsteps: [widen a x2]", "1:7 GP011, 2:6 GP011", "&s"),
    ("yaml", "steps: [widen a x2]\n---\nsteps: []\n", "2:1 GP012", "---"),
    # text
    ("yaml", "steps: [widen a\x00 x2]", "1:16 GP003", "�"),
    ("dsl", "widen a\x07 x2", "1:8 GP003", "�"),
    ("dsl", "widen \ud800 x2", "1:7 GP003", "�"),
    ("dsl", "widen a\u2028 x2", "1:8 GP003", "�"),
    ("yaml", "steps: [widen a]\rseed: 1", "1:17 GP003", "�"),
    ("yaml", 'steps: [{widen: a, b: "c\\0"}]', "1:23 GP013", '"c\\0"'),
    ("yaml", 'source: "c\\u2028"\nsteps: [widen a]', "1:9 GP013", '"c\\u2028"'),
    ("yaml", "steps: [{grow: {a: 5}}]", "1:9 GP025", "{grow: {a: 5}}"),
]  # fmt: skip


def caught(text: str, syntax: str) -> DiagnosticError:
    with pytest.raises(DiagnosticError) as info:
        parse_text(text, "plan", syntax)
    return info.value


@pytest.mark.parametrize(("syntax", "text", "expected", "under"), CASES, ids=[repr(c[1])[:60] for c in CASES])
def test_position(syntax: str, text: str, expected: str, under: str) -> None:
    diagnostics = caught(text, syntax).diagnostics
    found = [f"{d.span.line}:{d.span.column} {d.code}" for d in diagnostics if d.span]
    assert ", ".join(found) == expected
    span = diagnostics[0].span
    assert span is not None
    assert span.source.text[span.start : span.end] == under
    assert all(d.message and d.severity == "error" for d in diagnostics)


def test_every_code_of_the_language_has_a_case() -> None:
    """GP001, 002, 004, 035, 036, 037 and 040 need files or options: see test_files and test_fmt."""
    from growplan.diagnostics.table.language import CODES

    elsewhere = {"GP001", "GP002", "GP004", "GP035", "GP036", "GP037", "GP040"}
    seen = {
        word for _, _, expected, _ in CASES for word in expected.replace(",", "").split() if word[0] == "G"
    }
    assert seen | elsewhere == CODES.keys()


def test_at_most_twenty_and_the_rest_is_counted() -> None:
    diagnostics = caught("\n".join(f"widn{i} a" for i in range(33)), "dsl").diagnostics
    assert len(diagnostics) == 20
    assert diagnostics[-1].notes == (("more", "13 further errors not shown"),)
    assert [d.span.line for d in diagnostics if d.span] == list(range(1, 21))


def test_the_same_mistake_is_reported_once() -> None:
    assert len(caught("steps:\n- widen a to ${b}${b}", "yaml").diagnostics) == 2
    assert len(caught("extends: [a]\nsteps: [widen a]", "yaml").diagnostics) == 1
