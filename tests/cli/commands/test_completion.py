"""What is printed is pressed in a real shell by tests/cli/test_completing.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Gpulease


def test_the_script_is_printed_and_nothing_is_written(gpulease: Gpulease, tmp_path: Path) -> None:
    ended = gpulease("completion", "bash")

    assert ended.code == 0
    assert "complete -o default -F _gpulease_completion gpulease" in ended.out
    assert list(tmp_path.iterdir()) == []
    assert gpulease("completion", "fish", "--json").json()["shell"] == "fish"


def test_an_unknown_shell_is_a_usage_error(gpulease: Gpulease) -> None:
    assert gpulease("completion", "tcsh").code == 2


def test_installing_says_where(
    gpulease: Gpulease, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    ended = gpulease("completion", "fish", "--install", "--json")

    assert Path(ended.json()["path"]).read_text().startswith("complete --command gpulease")
