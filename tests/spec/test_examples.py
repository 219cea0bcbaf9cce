from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.spec import examples
from orchestrator.spec.data import DataReport, check_data
from orchestrator.spec.examples import Layout, example_texts, recognise, row_problems
from orchestrator.spec.job import Job
from orchestrator.spec.packaged import packaged

Check = Callable[..., DataReport]

ASK = {"role": "user", "content": "Where is it?"}
SAY = {"role": "assistant", "content": "On its way."}
MESSAGES = Layout("messages", {"messages": "messages"})


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def check(load: Callable[..., Job], our_job: str, folder: Path) -> Check:
    """The report of a causal-lm job whose data files have this content."""

    def check_content(train: str, evaluation: str = "", *, columns: str = "") -> DataReport:
        (folder / "train.jsonl").write_text(train)
        (folder / "eval.jsonl").write_text(evaluation or train.replace("it", "that"))
        base = our_job.replace("text-classification", "causal-lm")
        base = base.replace("eval.jsonl}", f"eval.jsonl, columns: {{{columns}}}}}")
        return check_data(load(base=base))

    return check_content


@pytest.mark.parametrize(
    ("row", "layout", "columns"),
    [
        ({"messages": [ASK, SAY]}, "messages", {"messages": "messages"}),
        ({"conversations": [], "id": 1}, "messages", {"messages": "conversations"}),
        (
            {"prompt": "a", "completion": "b"},
            "prompt-completion",
            {"prompt": "prompt", "completion": "completion"},
        ),
        (
            {"instruction": "a", "input": "", "output": "b"},
            "instruction",
            {"instruction": "instruction", "output": "output", "input": "input"},
        ),
        (
            {"Question": "a", "context": "c", "Answer": "b", "system": "s"},
            "instruction",
            {"instruction": "Question", "output": "Answer", "input": "context", "system": "system"},
        ),
        (
            {"input": "a", "output": "b"},
            "instruction",
            {"instruction": "input", "output": "output"},
        ),
        (
            {"prompt": "a", "response": "b"},
            "instruction",
            {"instruction": "prompt", "output": "response"},
        ),
        ({"text": "a", "label": "b"}, "text", {"text": "text"}),
    ],
)
def test_the_usual_columns_are_recognised(
    row: dict[str, object], layout: str, columns: dict[str, str]
) -> None:
    assert recognise(row, {}) == Layout(layout, columns)


def test_columns_of_other_names_are_taken_as_the_job_says() -> None:
    row: dict[str, object] = {"q": "a", "a": "b", "text": "c"}

    found = recognise(row, {"instruction": "q", "output": "a"})
    assert found == Layout("instruction", {"instruction": "q", "output": "a"})
    assert recognise(row, {"prompt": "q", "completion": "a"}) == Layout(
        "prompt-completion", {"prompt": "q", "completion": "a"}
    )
    assert recognise(row, {"instruction": "q", "text": "text"}) is None


def test_good_rows_are_counted_and_named(check: Check) -> None:
    report = check(lines({"messages": [ASK, SAY]}, {"messages": [ASK, SAY, ASK, SAY]}))

    assert (report.problems, report.warnings) == ([], [])
    assert (report.train_rows, report.eval_rows) == (2, 2)
    assert (report.layout, report.roles) == ("messages", {"messages": "messages"})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("hello", "`messages` must be a list of messages"),
        ([], "`messages` must be a list of messages"),
        (["hello"], "message 1 of `messages` must be {role"),
        ([ASK, {"role": "asistant", "content": "x"}], "message 2 has the role `asistant`; known"),
        ([ASK, {"role": 3, "content": "x"}], "message 2 has the role `3`"),
        ([ASK, {"role": "assistant", "content": None}], "message 2 has no text in `content`"),
        ([ASK], "`messages` has no message of the assistant: there is nothing to learn"),
        ([ASK, {**SAY, "content": "\ud800"}], "message 2 holds half a surrogate pair"),
    ],
)
def test_a_wrong_conversation_is_told(value: object, problem: str) -> None:
    (found,) = row_problems({"messages": value}, MESSAGES)
    assert found.startswith(problem)


def test_sharegpt_words_are_known() -> None:
    told = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert list(row_problems({"messages": told}, MESSAGES)) == []


def test_prompts_and_completions_are_of_one_kind() -> None:
    layout = Layout("prompt-completion", {"prompt": "p", "completion": "c"})

    (mixed,) = row_problems({"p": "Hi", "c": [SAY]}, layout)
    assert mixed == "prompt and completion must both be text, or both be lists of messages"
    assert list(row_problems({"p": [ASK], "c": [SAY]}, layout)) == []


def test_problems_have_the_line_of_their_row(check: Check) -> None:
    bad = lines(
        {"prompt": "a", "completion": "b"}, {"prompt": "", "completion": "b"}, {"prompt": 1}
    )

    report = check("{oops}\n" + bad, lines({"prompt": "x", "completion": "y"}))

    assert [problem.split(": ", 1)[0] for problem in report.problems] == [
        "train.jsonl:1",
        "train.jsonl:3",
        "train.jsonl:4",
        "train.jsonl:4",
    ]
    assert report.problems[1] == "train.jsonl:3: `prompt` is empty"
    assert report.problems[2] == "train.jsonl:4: `prompt` must be text"


def test_rows_without_anything_to_learn_say_what_they_need(check: Check) -> None:
    (problem, _) = check(lines({"title": "a"}), lines({"title": "b"})).problems
    assert problem.startswith("train.jsonl:1: nothing to learn from among `title`: rows need")


def test_a_column_that_is_not_there_is_named_with_a_guess(check: Check) -> None:
    (problem, _) = check(
        lines({"reply": "a", "q": "b"}), columns="instruction: q, output: repy"
    ).problems
    assert problem == (
        "train.jsonl:1: no column `repy` (data.columns.output) among `reply`, `q`; "
        "did you mean `reply`?"
    )


def test_an_empty_eval_is_a_problem(check: Check) -> None:
    assert check(lines({"text": "a"}), "\n").problems == ["eval.jsonl:1: no rows"]


def test_rows_that_eval_shares_with_train_are_told(check: Check) -> None:
    report = check(lines({"text": "a"}, {"text": "b"}), lines({"text": "a"}, {"text": "c"}))
    assert report.warnings == ["1 of 2 rows of eval are also in train: the loss will flatter"]


def test_texts_are_what_the_model_reads_of_a_row(folder: Path) -> None:
    path = folder / "x.jsonl"
    path.write_text(lines({"messages": [ASK, SAY], "id": "never read"}))
    assert list(example_texts(path, MESSAGES.columns)) == [("Where is it?\nOn its way.", 2)]

    path.write_text(lines({"question": "a", "answer": "b"}))
    columns = {"instruction": "question", "output": "answer"}
    assert list(example_texts(path, columns)) == [("a\nb", 2)]

    path.write_text(lines({"text": "plain"}))
    assert list(example_texts(path, {"text": "text"})) == [("plain", 0)]


def test_the_program_recognises_by_the_same_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(packaged("jobs"))])

    program = runpy.run_path(str(packaged("jobs") / "causal-lm" / "rows.py"))

    for table in ("LAYOUTS", "OPTIONAL", "ROLES"):
        assert list(program[table].items()) == list(getattr(examples, table).items())
