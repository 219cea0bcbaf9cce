from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import SpecError, UsageError
from orchestrator.spec.load import load_job
from orchestrator.spec.paths import resolve, shown


def test_a_path_is_seen_from_the_job_file(tmp_path: Path) -> None:
    assert resolve("data/../x.csv", tmp_path) == tmp_path / "x.csv"
    assert resolve("/etc/x", tmp_path) == Path("/etc/x")
    assert resolve("~/x", tmp_path) == Path.home() / "x"


def test_a_path_is_shown_as_the_person_knows_it(tmp_path: Path) -> None:
    assert shown(tmp_path / "data" / "x.csv", tmp_path) == "data/x.csv"
    assert shown(Path("/elsewhere/x.csv"), tmp_path) == "/elsewhere/x.csv"


def test_a_missing_data_file_is_named_with_its_line(
    problems: Callable[..., list[str]], folder: Path
) -> None:
    (folder / "train.jsonl").unlink()

    found = problems()
    assert len(found) == 1
    assert found[0].startswith("job.yaml:5: data.train: there is no file `train.jsonl` in ")


def test_a_folder_is_no_data_file(problems: Callable[..., list[str]], folder: Path) -> None:
    (folder / "eval.jsonl").unlink()
    (folder / "eval.jsonl").mkdir()

    assert problems() == ["job.yaml:5: data.eval: `eval.jsonl` is a folder, not a file"]


def test_some_places_elsewhere_are_not_yet_supported(problems: Callable[..., list[str]]) -> None:
    found = problems(sets=("data.train=hf://data/x.jsonl", "data.eval=https://"))

    assert found == [
        "--set data.train: data.train: `hf://` is not yet supported in this version; "
        "supported: files of this computer, s3:// and https://",
        "--set data.eval: data.eval: is no address that can be: https://…",
    ]


def test_data_elsewhere_is_brought_once_nothing_else_is_wrong(folder: Path, our_job: str) -> None:
    (folder / "job.yaml").write_text(our_job)
    brought: list[str] = []

    def fetch(address: str) -> Path:
        brought.append(address)
        if "absent" in address:
            raise UsageError("it is not there")
        return folder / "train.jsonl"

    there = "data.train=https://host/x.jsonl?X-Amz-Signature=secret"
    job = load_job(folder / "job.yaml", sets=(there,), fetch=fetch)
    assert job.data is not None
    assert job.data.train == folder / "train.jsonl"
    assert brought == ["https://host/x.jsonl?X-Amz-Signature=secret"]
    assert "Signature" not in str(job.to_document())
    with pytest.raises(SpecError, match="max_cost"):
        load_job(folder / "job.yaml", sets=(there, "budget.max_cost=no"), fetch=fetch)
    assert len(brought) == 1
    with pytest.raises(SpecError, match=r"^--set data.eval: data.eval: it is not there$"):
        load_job(folder / "job.yaml", sets=("data.eval=s3://bucket/absent",), fetch=fetch)


def test_a_path_that_cannot_exist_is_no_traceback(problems: Callable[..., list[str]]) -> None:
    (long,) = problems(sets=(f"data.train={'x/' * 3000}a.jsonl",))
    (unknown_home,) = problems(sets=("data.train=~nobody-here/a.jsonl",))

    assert "data.train: there is no file" in long
    assert "is not a path that can be followed" in unknown_home
