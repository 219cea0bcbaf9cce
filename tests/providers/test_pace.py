from __future__ import annotations

from pathlib import Path

from orchestrator.clock import FakeClock
from orchestrator.providers.pace import Pace


def test_turns_are_an_interval_apart() -> None:
    clock = FakeClock()
    pace = Pace(None, 2.0, clock)

    assert [pace.take_turn() for _ in range(3)] == [0.0, 2.0, 2.0]
    clock.advance(5.0)
    assert pace.take_turn() == 0.0


def test_others_who_use_the_file_keep_the_same_interval(tmp_path: Path) -> None:
    clock = FakeClock()
    Pace(tmp_path / "pace/a", 12.0, clock).take_turn()

    assert Pace(tmp_path / "pace/a", 12.0, clock).take_turn() == 12.0
    assert Pace(tmp_path / "pace/b", 12.0, clock).take_turn() == 0.0


def test_a_file_of_a_clock_that_went_wrong_or_that_holds_no_time_stops_nobody(
    tmp_path: Path,
) -> None:
    for text in ("9999999999", "soon", "", "nan", "-1"):
        (tmp_path / "a").write_text(text)
        assert Pace(tmp_path / "a", 12.0, FakeClock()).take_turn() == 0.0


def test_a_file_that_takes_nothing_stops_nobody_and_this_process_keeps_its_turns() -> None:
    pace = Pace(Path("/dev/full"), 3.0, FakeClock())

    assert [pace.take_turn() for _ in range(3)] == [0.0, 3.0, 3.0]


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    pace = Pace(tmp_path / "file/a", 3.0, FakeClock())

    assert [pace.take_turn() for _ in range(2)] == [0.0, 3.0]
