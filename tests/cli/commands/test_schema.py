from __future__ import annotations

import json
from pathlib import Path

from orchestrator.spec.schema import FILE_NAME, json_schema
from tests.cli.conftest import Gpulease


def test_it_is_printed(gpulease: Gpulease) -> None:
    assert json.loads(gpulease("schema").out) == json_schema()


def test_it_is_written_where_a_modeline_finds_it(gpulease: Gpulease, tmp_path: Path) -> None:
    ended = gpulease("schema", "--write", ".", "--json")

    assert ended.json()["path"] == str(tmp_path / FILE_NAME)
    assert json.loads((tmp_path / FILE_NAME).read_text()) == json_schema()


def test_a_folder_that_is_none_is_said(gpulease: Gpulease) -> None:
    assert "cannot be written" in gpulease("schema", "--write", "no/such").err


def test_check_renews_the_schema_of_another_version_and_no_other_file(
    gpulease: Gpulease, job_file: str, tmp_path: Path
) -> None:
    file = tmp_path / FILE_NAME
    assert "renewed" not in gpulease("check", job_file).err and not file.exists()

    file.write_text('{"title": "gpulease job", "type": "object"}')
    assert f"{FILE_NAME} was of another version, and is renewed" in gpulease("check", job_file).err
    assert json.loads(file.read_text()) == json_schema()
    assert "renewed" not in gpulease("check", job_file).err

    file.write_text('{"title": "mine"}')
    gpulease("check", job_file)
    assert file.read_text() == '{"title": "mine"}'
