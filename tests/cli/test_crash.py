from __future__ import annotations

from pathlib import Path

from orchestrator.cli.crash import write_crash


def test_the_story_lies_in_the_homes_logs_for_its_owner_alone(home: Path) -> None:
    path = Path(write_crash(None, "Traceback"))

    assert path.parent == home / "logs"
    assert "Traceback" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_written_is_no_second_fault(home: Path) -> None:
    home.write_text("a file where the folder should be")

    path = Path(write_crash(None, "Traceback"))

    assert "Traceback" in path.read_text()
    path.unlink()
