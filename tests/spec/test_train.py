from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.spec.job import Job
from orchestrator.spec.train import OTHER_NAMES, CausalLmTrain


def test_settings_are_the_ones_that_have_a_value(load: Callable[..., Job]) -> None:
    settings = load("train: {max_steps: 7, learning_rate: 5e-5}\n").train.to_settings()

    assert settings["max_steps"] == 7
    assert settings["learning_rate"] == 5e-5
    assert "eval_steps" not in settings


def test_every_other_name_leads_to_a_setting() -> None:
    assert set(OTHER_NAMES.values()) <= set(CausalLmTrain.model_fields)
    assert not set(OTHER_NAMES) & set(CausalLmTrain.model_fields)


def test_a_name_of_other_tools_is_translated(problems: Callable[..., list[str]]) -> None:
    assert problems("train: {epochs: 3, warmup_ratio: 0.1}\n") == [
        "job.yaml:7: unknown key `epochs`; it is called `num_train_epochs` here",
        "job.yaml:7: unknown key `warmup_ratio`; it is called `warmup_steps` here",
    ]


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("learning_rate: 0", "must be more than 0"),
        ("learning_rate: .nan", "must be a finite number"),
        ("learning_rate: fast", "must be a number, not text"),
        ("num_train_epochs: true", "must be a number, not true or false"),
        ("per_device_train_batch_size: 2.5", "must be a whole number, not the number `2.5`"),
        ("per_device_train_batch_size: 0", "must be at least 1"),
        ("warmup_steps: 10.5", "must be whole steps, or a share of them below 1"),
        ("max_length: 999999999", "must be at most 131072"),
        ("seed: -1", "must be at least 0"),
        ("lr_scheduler_type: cosin", "did you mean `cosine`?"),
    ],
)
def test_a_setting_out_of_bounds_says_its_bounds(
    problems: Callable[..., list[str]], setting: str, problem: str
) -> None:
    (found,) = problems(f"train:\n  {setting}\n")

    assert found.startswith(f"job.yaml:8: train.{setting.split(':')[0]}: ")
    assert problem in found
