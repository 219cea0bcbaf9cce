from __future__ import annotations

import pytest

from orchestrator.spec.document import Unreadable, WrittenFloat, read_document, read_scalar


def refusal(content: bytes | str) -> str:
    with pytest.raises(Unreadable) as caught:
        read_document(content, "job.yaml")
    return str(caught.value.problem)


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "y", "NO", "1_000", "12:30", "2026-01-02"]
)
def test_words_of_yaml_1_1_are_text(word: str) -> None:
    assert read_document(f"key: {word}", "job.yaml").value == {"key": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [("5e-5", 5e-5), ("1.", 1.0), (".5", 0.5), ("-7", -7), ("0o17", 15), ("0x1F", 31), ("~", None)],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert read_scalar(text) == value


def test_a_number_remembers_how_it_was_written() -> None:
    value = read_scalar("0.10")

    assert isinstance(value, WrittenFloat)
    assert value.text == "0.10"


def test_a_quoted_number_is_text() -> None:
    assert read_document("key: '5e-5'", "job.yaml").value == {"key": "5e-5"}


def test_keys_are_text_as_written() -> None:
    assert read_document("{on: 1, 3: 2, ~: 3}", "job.yaml").value == {"on": 1, "3": 2, "~": 3}


def test_every_key_and_item_has_its_line() -> None:
    document = read_document("a: 1\nb:\n  c: 2\n  d:\n    - 3\n    - 4\n", "job.yaml")

    assert str(document.place(("b", "c"))) == "job.yaml:3"
    assert str(document.place(("b", "d", 1))) == "job.yaml:6"
    assert str(document.place(("b", "absent"))) == "job.yaml:2"
    assert str(document.place(("absent",))) == "job.yaml:1"


def test_a_key_written_twice_names_both_lines_and_reading_goes_on() -> None:
    document = read_document("a: 1\nb: 2\na: 3\nb: 4\n", "job.yaml")

    assert [str(problem) for problem in document.problems] == [
        "job.yaml:3: `a` is written twice (first in line 1)",
        "job.yaml:4: `b` is written twice (first in line 2)",
    ]


def test_an_anchor_is_a_value_written_once() -> None:
    document = read_document("a: &x [1, 2]\nb: *x\n", "job.yaml")

    assert document.value == {"a": [1, 2], "b": [1, 2]}
    assert str(document.place(("b", 1))) == "job.yaml:2"


def test_a_billion_laughs_are_counted_not_laughed() -> None:
    levels = ['a0: &a0 ["ha", "ha", "ha", "ha", "ha", "ha", "ha", "ha", "ha"]']
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    assert "more than 20000 values" in refusal("\n".join(levels))


def test_an_anchor_cannot_hold_itself() -> None:
    assert refusal("a: &x [*x]") == "job.yaml:1: nothing is anchored as `&x` above"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "job.yaml:1: the file is empty"),
        ("# nothing\n", "job.yaml:1: the file is empty"),
        ("a: 1\n---\nb: 2\n", "job.yaml:2: a second document: one job per file"),
        ("a: 1\nb: !!python/object:os.system x\n", "job.yaml:2: tags such as"),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "job.yaml:2: merge keys (<<) are not part of YAML 1.2"),
        ("? [a]\n: 1\n", "job.yaml:1: a key must be a plain word"),
        ("a: 1\nb: [1, 2\nc: 3\n", "job.yaml:3: not valid YAML: "),
        ("a: 1\n\tb: 2\n", "job.yaml:2: not valid YAML: "),
        ("a: 1\nb: 'x\x07'\n", "job.yaml:2: not valid YAML: a character that YAML forbids"),
        ('a: 1\nb: "\\0"\n', "job.yaml:2: text may not hold NUL"),
        (b"a: 1\nb: \xff\xfe\n", "job.yaml:2: not UTF-8 text"),
        ("[" * 100_000, "job.yaml:1: nested too deeply"),
        ("a: " + "x" * (1 << 20), "job.yaml:1: larger than 1 MiB"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(content: bytes | str, problem: str) -> None:
    assert refusal(content).startswith(problem)


def test_a_byte_order_mark_and_crlf_are_read_past() -> None:
    assert read_document(b"\xef\xbb\xbfa: 1\r\nb: two\r\n", "x").value == {"a": 1, "b": "two"}
