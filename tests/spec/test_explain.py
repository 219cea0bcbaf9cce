from __future__ import annotations

from collections.abc import Callable

from orchestrator.spec.explain import dotted


def test_keys_are_dotted_as_set_takes_them() -> None:
    assert dotted(("providers", 1)) == "providers.1"


def test_a_misspelt_key_gets_the_nearest_name(problems: Callable[..., list[str]]) -> None:
    assert problems("train:\n  learning_rat: 5e-5\n") == [
        "job.yaml:8: unknown key `learning_rat`; did you mean `learning_rate`?"
    ]


def test_a_misspelt_key_is_not_missing_as_well(
    problems: Callable[..., list[str]], our_job: str, own_code: str
) -> None:
    assert problems(base=our_job.replace("task:", "taks:")) == [
        "job.yaml:4: unknown key `taks`; did you mean `task`?"
    ]
    assert problems(base=own_code.replace("command:", "comand:")) == [
        "job.yaml:3: unknown key `comand`; did you mean `command`?"
    ]
    assert problems("datas: 1\n", base=our_job.replace("task:", "taks:")) == [
        "job.yaml:4: unknown key `taks`; did you mean `task`?",
        "job.yaml:7: unknown key `datas`; did you mean `data`?",
    ]


def test_a_key_like_no_other_gets_the_list(problems: Callable[..., list[str]]) -> None:
    assert problems("regions: {zzz: 1}\n") == [
        "job.yaml:7: unknown key `zzz`; known here: allow, deny"
    ]


def test_a_key_of_another_section_is_sent_there(problems: Callable[..., list[str]]) -> None:
    assert problems("lr: 3\n") == [
        "job.yaml:7: unknown key `lr` here; it belongs at `train.learning_rate`"
    ]


def test_a_missing_key_is_named_with_the_line_of_what_lacks_it(
    problems: Callable[..., list[str]], own_code: str
) -> None:
    base = own_code.replace(", command: python train.py", "")

    assert problems(base=base) == ["job.yaml:3: `code.command` is missing"]


def test_a_wrong_type_says_what_was_expected_and_what_was_found(
    problems: Callable[..., list[str]],
) -> None:
    assert problems("regions: []\nsetup: 3\n") == [
        "job.yaml:7: regions: must be a mapping of keys to values, not a list",
        "job.yaml:8: setup: must be text, not the number `3`",
    ]
