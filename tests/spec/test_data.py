from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.spec.data import DataReport, LabelFacts, check_data, texts
from orchestrator.spec.job import Job

Check = Callable[..., DataReport]


@pytest.fixture
def check(load: Callable[..., Job], folder: Path) -> Check:
    """The report of a job whose data files have this content."""

    def check_content(
        train: bytes | str | None = None,
        evaluation: bytes | str | None = None,
        *,
        suffix: str = ".jsonl",
        sets: tuple[str, ...] = (),
    ) -> DataReport:
        for split, content in (("train", train), ("eval", evaluation)):
            if content is not None:
                raw = content if isinstance(content, bytes) else content.encode()
                (folder / f"{split}{suffix}").write_bytes(raw)
        files = (
            () if suffix == ".jsonl" else (f"data.train=train{suffix}", f"data.eval=eval{suffix}")
        )
        return check_data(load(sets=(*files, *sets)))

    return check_content


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = lines(
    {"text": "one", "label": "a"}, {"text": "two", "label": "b"}, {"text": "3", "label": "a"}
)
GOOD_EVAL = lines({"text": "four", "label": "b"}, {"text": "fives", "label": "a"})


def test_good_data_is_counted(check: Check) -> None:
    report = check(GOOD, GOOD_EVAL)

    assert (report.problems, report.warnings) == ([], [])
    assert (report.train_rows, report.eval_rows) == (3, 2)
    assert (report.text_column, report.label_column) == ("text", "label")
    assert report.columns == ("text", "label")
    assert report.labels == (LabelFacts("a", 2, 1), LabelFacts("b", 1, 1))
    assert report.majority_share == 0.5
    assert report.longest_text_chars == 5
    assert report.size_bytes == len(GOOD) + len(GOOD_EVAL)
    assert report.train is not None
    assert report.train.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".ndjson"])
def test_every_format_gives_the_same_figures(check: Check, suffix: str) -> None:
    def written(content: str) -> str:
        rows = [json.loads(line) for line in content.splitlines()]
        if suffix == ".json":
            return json.dumps(rows)
        if suffix == ".ndjson":
            return content
        sign = {".csv": ",", ".tsv": "\t"}[suffix]
        return "".join(sign.join(row) + "\r\n" for row in [list(rows[0]), *map(dict.values, rows)])

    report = check(written(GOOD), written(GOOD_EVAL), suffix=suffix)

    assert report.problems == []
    assert report.labels == (LabelFacts("a", 2, 1), LabelFacts("b", 1, 1))


@pytest.mark.parametrize(
    ("text", "label"),
    [("sentence", "category"), ("content", "target"), ("prompt", "class"), ("Text", "Label")],
)
def test_columns_are_recognised_by_name(check: Check, text: str, label: str) -> None:
    report = check(
        lines({"id": 1, text: "one", label: "a"}, {"id": 2, text: "two", label: "b"}),
        lines({"id": 3, text: "three", label: "b"}),
    )

    assert report.problems == []
    assert (report.text_column, report.label_column) == (text, label)


def test_columns_with_other_names_are_written_in_the_job(check: Check) -> None:
    rows = lines({"body": "one", "topic": 1}, {"body": "two", "topic": 2})

    report = check(
        rows, rows.replace("one", "x"), sets=("data.columns={text: body, label: topic}",)
    )

    assert report.problems == []
    assert [facts.label for facts in report.labels] == ["1", "2"]


def test_unrecognised_columns_are_named_with_a_guess(check: Check) -> None:
    report = check(lines({"txt": "one", "lable": "a"}), GOOD_EVAL)

    assert report.problems[:2] == [
        "train.jsonl:1: no text column among `txt`, `lable`; if it is `txt`, set data.columns.text",
        "train.jsonl:1: no label column among `txt`, `lable`; if it is `lable`, "
        "set data.columns.label",
    ]


def test_a_column_that_has_a_part_already_is_no_guess_for_another(check: Check) -> None:
    rows = lines({"text": "one"}, {"text": "two"})

    assert check(rows, rows.replace("one", "x")).problems == [
        f"{name}:1: no label column among `text`; if it has another name, set data.columns.label"
        for name in ("train.jsonl", "eval.jsonl")
    ]


def test_a_column_of_the_job_that_is_not_there_is_told_once(check: Check) -> None:
    report = check(GOOD, GOOD_EVAL, sets=("data.columns={text: texts}",))

    assert report.problems[0] == (
        "train.jsonl:1: no column `texts` among `text`, `label`; did you mean `text`?"
    )
    assert len(report.problems) == 2


def test_a_bad_line_is_named_and_the_rest_still_counted(check: Check) -> None:
    report = check(GOOD + '{"text": "x", "label"\n' + GOOD, GOOD_EVAL)

    assert report.problems == ["train.jsonl:4: not valid JSON: Expecting ':' delimiter (column 22)"]
    assert report.train_rows == 6


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"txt": "x", "label": "a"}, "no column `text`; did you mean `txt`?"),
        ({"text": "x"}, "no column `label`"),
        ({"text": "  ", "label": "a"}, "`text` is empty"),
        ({"text": None, "label": "a"}, "`text` is empty"),
        ({"text": "x", "label": ""}, "`label` is empty"),
        ({"text": 3, "label": "a"}, "`text` must be text"),
        ({"text": "x", "label": 1.5}, "`label` must be text or a whole number"),
        ({"text": "x", "label": True}, "`label` must be text or a whole number"),
        ({"text": "x", "label": ["a"]}, "`label` must be text or a whole number"),
        ({"text": "\ud800", "label": "a"}, "`text` holds half a surrogate pair"),
    ],
)
def test_a_bad_row_is_named(check: Check, row: dict[str, object], problem: str) -> None:
    assert check(GOOD + lines(row), GOOD_EVAL).problems == [f"train.jsonl:4: {problem}"]


def test_labels_of_eval_that_train_does_not_have_are_named_once(check: Check) -> None:
    odd = lines({"text": "x", "label": "A "}, {"text": "y", "label": "A "})

    report = check(GOOD.replace('"a"', '"A"'), GOOD_EVAL.replace('"a"', '"A"') + odd)

    assert report.problems == ["eval.jsonl:3: label `A ` is not in train; did you mean `A`?"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_a_problem(check: Check, content: str) -> None:
    assert check(content, GOOD_EVAL).problems == ["train.jsonl:1: no rows"]
    assert check(GOOD, content).problems == ["eval.jsonl:1: no rows"]


def test_a_csv_of_nothing_but_a_header_has_no_rows(check: Check) -> None:
    report = check("text,label\n", "text,label\nx,a\n", suffix=".csv")

    assert report.problems == ["train.csv:1: no rows"]


def test_text_that_is_not_utf_8_is_named_with_its_line(check: Check) -> None:
    report = check(GOOD.encode() + '{"text": "ä", "label": "a"}\n'.encode("latin-1"), GOOD_EVAL)

    assert report.problems == ["train.jsonl:4: not UTF-8 text (byte 11)"]


def test_utf_16_is_named_as_such(check: Check) -> None:
    report = check(GOOD.encode("utf-16"), GOOD_EVAL)

    assert report.problems == ["train.jsonl:1: UTF-16 text: save it as UTF-8"]


def test_a_byte_order_mark_is_read_past_and_told(check: Check) -> None:
    report = check(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), GOOD_EVAL)

    assert report.problems == []
    assert report.warnings == ["train.jsonl starts with a byte order mark; it is skipped"]


def test_one_label_teaches_nothing(check: Check) -> None:
    report = check(GOOD.replace('"b"', '"a"'), GOOD_EVAL.replace('"b"', '"a"'))

    assert report.problems == ["train.jsonl:1: every row has the label `a`"]


def test_a_column_of_ids_is_no_label(check: Check) -> None:
    report = check(lines(*({"text": f"t{n}", "label": n} for n in range(3000))), GOOD_EVAL)

    assert report.problems[0] == (
        "train.jsonl:1001: more than 1000 labels: is `label` the right column?"
    )


def test_without_eval_nothing_says_how_good_the_model_is(check: Check) -> None:
    report = check(GOOD, sets=("data.eval=",))

    assert report.problems == []
    assert report.warnings == ["no data.eval: nothing will say how good the model is"]
    assert report.majority_share == pytest.approx(2 / 3)


def test_rows_of_train_in_eval_flatter_the_metric(check: Check) -> None:
    assert check(GOOD, GOOD_EVAL + GOOD).warnings == [
        "3 of 5 texts of eval are also in train: the metric will flatter"
    ]
    assert check(GOOD, sets=("data.eval=train.jsonl",)).warnings == [
        "eval is the same file as train: the metric will say nothing"
    ]


def test_labels_that_eval_lacks_are_told(check: Check) -> None:
    report = check(GOOD, lines({"text": "x", "label": "a"}))

    assert report.warnings == ["no row of eval has the label `b`"]


def test_many_problems_are_capped(check: Check) -> None:
    report = check(GOOD + "junk\n" * 30, GOOD_EVAL)

    assert len(report.problems) == 21
    assert report.problems[-1] == "and 10 more"


def test_a_file_that_vanished_is_a_problem(load: Callable[..., Job], folder: Path) -> None:
    job = load()
    (folder / "train.jsonl").unlink()

    assert check_data(job).problems == ["train.jsonl:1: cannot be read: No such file or directory"]


def test_a_large_file_is_a_warning(load: Callable[..., Job], folder: Path, own_code: str) -> None:
    (folder / "train.bin").write_bytes(bytes((2 << 20) + 1))

    job = load("data: {train: train.bin}\n", base=own_code)

    assert check_data(job).warnings == []
    assert check_data(job, large_bytes=2 << 20).warnings == [
        "train.bin has 0.00195 GiB: sending it takes a while"
    ]


def test_own_codes_data_is_measured_not_parsed(
    load: Callable[..., Job], folder: Path, own_code: str
) -> None:
    (folder / "train.bin").write_bytes(b"\xff\x00\xff")

    report = check_data(load("data: {train: train.bin}\n", base=own_code))

    assert (report.problems, report.size_bytes, report.train_rows) == ([], 3, 0)
    assert check_data(load(base=own_code)) == DataReport()


def test_a_label_cannot_steer_a_terminal(check: Check) -> None:
    report = check(GOOD, GOOD_EVAL + lines({"text": "x", "label": "\x1b[2J"}))

    assert report.problems == [r"eval.jsonl:3: label `\x1b[2J` is not in train"]


def test_texts_come_in_order(folder: Path) -> None:
    (folder / "x.jsonl").write_text(GOOD)

    assert list(texts(folder / "x.jsonl", "text")) == ["one", "two", "3"]
