from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.spec.load import load_job
from orchestrator.spec.starter import starter_text, starters

ROW = '{"text": "x", "label": "a"}\n'


@pytest.mark.parametrize("task", starters())
def test_every_starter_is_a_job_once_its_data_exists(tmp_path: Path, task: str) -> None:
    (tmp_path / "data").mkdir()
    for split in ("train", "eval"):
        (tmp_path / "data" / f"{split}.jsonl").write_text(ROW)
    path = tmp_path / "job.yaml"
    path.write_text(starter_text("finetune", task))

    assert load_job(path).is_own_code == (task == "code")


@pytest.mark.parametrize("task", starters())
def test_what_a_starter_has_in_comments_is_right_too(tmp_path: Path, task: str) -> None:
    (tmp_path / "data").mkdir()
    for name in ("data/train.jsonl", "data/eval.jsonl", "requirements.txt"):
        (tmp_path / name).write_text(ROW)
    commented: tuple[str, ...] = (
        "# model",
        "# data",
        "# env",
        "# secrets",
        "# setup",
        "# providers",
        "# checkp",
    )
    commented += ("# artifacts", "  # columns", "  # warmup", "  # weight", "  # lr_", "  # seed")
    lines = [
        line.replace("# ", "", 1) if line.startswith((*commented, "  # requirements")) else line
        for line in starter_text("finetune", task).splitlines()
    ]
    path = tmp_path / "job.yaml"
    path.write_text("\n".join(lines))

    assert load_job(path).providers == ("runpod", "local")


def test_a_starter_without_a_task_classifies_texts() -> None:
    assert "task: text-classification" in starter_text()


def test_starters_to_come_are_refused_as_such() -> None:
    with pytest.raises(UsageError, match="kind `serve` is not yet supported in this version"):
        starter_text("serve")
    with pytest.raises(UsageError, match="task `embedding` is not yet supported"):
        starter_text("finetune", "embedding")
    with pytest.raises(UsageError, match=r"task `cod` is unknown.*did you mean `code`"):
        starter_text("finetune", "cod")
