from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec.schema import FILE_NAME, MODELINE, schema_text
from orchestrator.spec.starter import starter_text
from tests.cli.conftest import Gpulease


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((), starter_text()), (("code",), starter_text("finetune", "code"))],
)
def test_a_starter_is_written_beside_the_person(
    gpulease: Gpulease, tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    ended = gpulease("init", *arguments)

    assert ended.code == 0
    assert (tmp_path / "job.yaml").read_text() == MODELINE + text
    assert (tmp_path / FILE_NAME).read_text() == schema_text()
    assert MODELINE == "# yaml-language-server: $schema=gpulease.schema.json\n"
    assert "gpulease check job.yaml" in ended.out


def test_a_file_that_is_there_is_kept_unless_forced(gpulease: Gpulease, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious")

    ended = gpulease("init", "-o", "mine.yaml")

    assert ended.code == 2
    assert "--force replaces it" in ended.err
    assert (tmp_path / "mine.yaml").read_text() == "precious"
    assert gpulease("init", "-o", "mine.yaml", "--force").code == 0


def test_a_dash_writes_to_stdout(gpulease: Gpulease, tmp_path: Path) -> None:
    assert gpulease("init", "-o", "-").out == starter_text()
    assert not (tmp_path / "job.yaml").exists()


def test_a_task_of_a_later_version_is_refused(gpulease: Gpulease) -> None:
    ended = gpulease("init", "--task", "embedding", "--json")

    assert ended.code == 2
    assert "not yet supported" in ended.json()["error"]["problem"]


def test_a_place_that_cannot_be_written_is_said(gpulease: Gpulease) -> None:
    assert "cannot be written" in gpulease("init", "-o", "no/such/folder/job.yaml").err
