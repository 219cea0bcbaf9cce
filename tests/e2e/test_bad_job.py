"""Mistakes in the job file and in the data: told with file and line, before anything is rented."""

from __future__ import annotations

import pytest

from infra.simcloud.hub_models import write_tiny_bert
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person
from tests.e2e.refused import EVAL, TICKETS, TRAIN, refused, tickets

LANGUAGE = """\
kind: finetune
name: router
model: ./model
task: causal-lm
data: {train: train.jsonl, eval: eval.jsonl}
train: {max_length: 32}
gpu: {allow_cpu: true}
budget: {max_cost: 1.00, max_duration: 30m}
providers: [runpod]
"""
CHAT = (
    '{"messages": [{"role": "user", "content": "How many?"}, '
    '{"role": "assistant", "content": "Three."}]}\n'
)
CHECK_AGAIN = "`gpulease check job.yaml` looks again, and spends nothing"


def test_every_unknown_key_is_told_with_its_line_and_the_nearest_name(
    person: Person, cloud: Cloud
) -> None:
    job = tickets(person, TICKETS.replace("task:", "taks:") + "buget: {max_cost: 3}\n")

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"].splitlines() == [
        "job.yaml:4: unknown key `taks`; did you mean `task`?",
        "job.yaml:10: unknown key `buget`; did you mean `budget`?",
    ]
    assert error["hint"] == CHECK_AGAIN


def test_a_wrong_type_says_what_was_expected(person: Person, cloud: Cloud) -> None:
    job = tickets(person, TICKETS.replace("epochs: 1", "epochs: many").replace("30m", "[30]"))

    error = refused(person, cloud, job, "--max-cost", "lots", exit_code=2, code="spec")

    assert error["problem"].splitlines() == [
        "job.yaml:6: train.num_train_epochs: must be a number, not text",
        "job.yaml:8: budget.max_duration: must be a duration with its unit, such as 45s, 15m, 2h "
        "or 1h30m",
        "--set budget.max_cost: budget.max_cost: must be dollars such as 2, 2.50 or $2.50",
    ]


def test_a_file_that_is_no_yaml_is_told_with_its_line(person: Person, cloud: Cloud) -> None:
    job = tickets(person, TICKETS.replace("eval.jsonl}", "eval.jsonl"))

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"].startswith("job.yaml:6: not valid YAML: ")


def test_a_missing_data_file_is_named_with_where_it_was_looked_for(
    person: Person, cloud: Cloud
) -> None:
    job = tickets(person, TICKETS.replace("train: train.jsonl", "train: tickets.jsonl"))

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"] == (
        f"job.yaml:5: data.train: there is no file `tickets.jsonl` in {person.desk}"
    )


def test_each_bad_line_of_the_data_is_told_with_its_number(person: Person, cloud: Cloud) -> None:
    bad = '{"text": "cut off", "label\n["a list"]\n{"text": 3, "label": "bug"}\n{"text": "x"}\n'
    job = tickets(person, train=TRAIN + bad)

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"].splitlines() == [
        "train.jsonl:9: not valid JSON: Unterminated string starting at (column 21)",
        "train.jsonl:10: a row must be an object, {…}",
        "train.jsonl:11: `text` must be text",
        "train.jsonl:12: no column `label`",
    ]
    assert error["hint"] == CHECK_AGAIN


def test_a_label_of_eval_that_training_never_sees_is_told_with_its_line(
    person: Person, cloud: Cloud
) -> None:
    job = tickets(
        person,
        evaluation=EVAL
        + '{"text": "my bil", "label": "bilding"}\n{"text": "hm", "label": "other"}\n',
    )

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"].splitlines() == [
        "eval.jsonl:3: label `bilding` is not in train; did you mean `billing`?",
        "eval.jsonl:4: label `other` is not in train",
    ]


def test_data_without_labels_is_told_once_per_file(person: Person, cloud: Cloud) -> None:
    job = tickets(person, train='{"text": "a"}\n{"text": "b"}\n', evaluation='{"text": "c"}\n')

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"].splitlines() == [
        f"{name}:1: no label column among `text`; if it has another name, set data.columns.label"
        for name in ("train.jsonl", "eval.jsonl")
    ]


def test_a_model_that_the_hub_does_not_have_is_told_with_its_line(
    person: Person, cloud: Cloud
) -> None:
    job = tickets(person, TICKETS.replace("tiny-bert", "tiny-bret"))

    error = refused(person, cloud, job, exit_code=2, code="spec")

    hub = cloud.env["HF_ENDPOINT"]
    assert error["problem"] == f"job.yaml:3: there is no model simcloud/tiny-bret on {hub}"
    assert error["hint"] == (
        "check the spelling (owner/name); "
        "for a private model set HF_TOKEN, or run `gpulease login huggingface`"
    )


@pytest.mark.parametrize(
    ("old", "new", "evaluation", "problem"),
    [
        (
            "max_length: 32",
            "assistant_only_loss: true, max_length: 32",
            CHAT,
            "job.yaml:6: train.assistant_only_loss: the chat template of ",
        ),
        ("max_length: 32", "max_length: 4096", CHAT, "job.yaml:6: train.max_length: 4096 tokens"),
        ("max_length: 32", "max_length: 32", "\n", "eval.jsonl:1: no rows"),
    ],
    ids=["no generation markers", "longer than the model reads", "empty eval"],
)
def test_a_language_model_that_cannot_learn_from_it_is_not_tried(
    old: str, new: str, evaluation: str, problem: str, person: Person, cloud: Cloud
) -> None:
    write_tiny_bert(person.desk / "model")
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    person.writes("model/chat_template.jinja", template)
    job = tickets(person, LANGUAGE.replace(old, new), train=CHAT, evaluation=evaluation)

    error = refused(person, cloud, job, exit_code=2, code="spec")

    assert error["problem"].startswith(problem), error
    assert error["hint"] == CHECK_AGAIN
