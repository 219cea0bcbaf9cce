from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from orchestrator.clock import FakeClock, SystemClock, this_boot, to_iso


def test_the_system_clock_reads_the_computers_clocks() -> None:
    clock = SystemClock()

    assert clock.now_s() == pytest.approx(time.time(), abs=5)
    assert clock.awake_s() == pytest.approx(time.monotonic(), abs=5)
    assert clock.elapsed_s() >= clock.awake_s() - 5


def test_an_offset_file_moves_all_three_readings(tmp_path: Path) -> None:
    offset_file = tmp_path / "clock"
    offset_file.write_text("86400")
    plain, moved = SystemClock(), SystemClock(offset_file)

    assert moved.now_s() - plain.now_s() == pytest.approx(86_400, abs=5)
    assert moved.awake_s() - plain.awake_s() == pytest.approx(86_400, abs=5)
    assert moved.elapsed_s() - plain.elapsed_s() == pytest.approx(86_400, abs=5)


@pytest.mark.parametrize("text", [None, "", "soon"])
def test_an_offset_that_cannot_be_read_moves_nothing(tmp_path: Path, text: str | None) -> None:
    offset_file = tmp_path / "clock"
    if text is not None:
        offset_file.write_text(text)

    assert SystemClock(offset_file).now_s() == pytest.approx(time.time(), abs=5)


def test_a_wait_ends_at_once_when_the_event_is_set(tmp_path: Path) -> None:
    event = Event()
    event.set()

    assert SystemClock().wait(event, 3600)
    assert SystemClock(tmp_path / "clock").wait(event, 3600)
    assert FakeClock().wait(event, 3600)


def test_a_wait_with_no_time_left_says_that_nothing_happened(tmp_path: Path) -> None:
    assert not SystemClock().wait(Event(), -1)
    assert not SystemClock(tmp_path / "clock").wait(Event(), -1)


class Leaps(Event):
    """While somebody waits for it, the simulated clock is moved."""

    def __init__(self, offset_file: Path) -> None:
        super().__init__()
        self.offset_file = offset_file

    def wait(self, timeout: float | None = None) -> bool:
        self.offset_file.write_text("7200")
        return False


def test_a_wait_ends_when_the_simulated_clock_leaps_past_it(tmp_path: Path) -> None:
    offset_file = tmp_path / "clock"

    assert not SystemClock(offset_file).wait(Leaps(offset_file), 3600)


def test_a_fake_clock_is_moved_by_waiting_alone() -> None:
    clock = FakeClock(at_s=100)

    assert not clock.wait(Event(), 30)
    assert (clock.now_s(), clock.awake_s(), clock.elapsed_s()) == (130, 130, 130)


def test_time_asleep_passes_but_not_for_the_awake_clock() -> None:
    clock = FakeClock(at_s=100)

    clock.advance(50, asleep=True)

    assert (clock.now_s(), clock.awake_s(), clock.elapsed_s()) == (150, 100, 150)


def test_times_for_people_are_utc() -> None:
    assert to_iso(1_800_000_000) == "2027-01-15T08:00:00Z"


@dataclass
class Computer:
    """Its wall clock and the time since its boot, in the hands of a test."""

    wall: float = 1_800_000_000.0
    up: float = 1000.0

    def clock(self) -> SystemClock:
        return SystemClock(wall_s=lambda: self.wall, since_boot_s=lambda: self.up)

    def go_on(self, seconds: float, *, stepped: float = 0.0) -> None:
        self.up += seconds
        self.wall += seconds + stepped


def test_a_wall_clock_that_is_set_back_takes_no_time_back() -> None:
    computer = Computer()
    clock = computer.clock()
    began_s = clock.now_s()

    computer.go_on(60, stepped=-3600)
    assert clock.now_s() == began_s + 60
    computer.go_on(60)
    assert clock.now_s() == began_s + 120


def test_a_leap_forwards_is_believed_and_stays() -> None:
    computer = Computer()
    clock = computer.clock()
    began_s = clock.now_s()

    computer.go_on(1, stepped=7200)
    assert clock.now_s() == began_s + 7201
    computer.go_on(1, stepped=-7200)
    assert clock.now_s() == began_s + 7202


def test_a_process_that_begins_after_the_step_goes_on_from_what_was_written_down() -> None:
    computer = Computer()
    written_s = computer.clock().now_s()
    computer.go_on(60, stepped=-3600)
    clock = computer.clock()

    clock.not_before(written_s)

    assert clock.now_s() == written_s
    computer.go_on(60)
    assert clock.now_s() == written_s + 60


def test_a_process_of_the_same_boot_counts_on_from_what_the_one_before_it_knew() -> None:
    computer = Computer()
    first = computer.clock()
    began_s = first.now_s()
    record = first.to_record(began_s)
    computer.go_on(60, stepped=-3600)

    clock, of_another_boot = computer.clock(), computer.clock()
    clock.count_on(record, began_s)
    of_another_boot.count_on(record | {"boot": "another"}, began_s)

    assert clock.now_s() == began_s + 60
    assert of_another_boot.now_s() == began_s
    computer.go_on(60)
    third = computer.clock()
    third.count_on(clock.to_record(began_s), began_s)  # the second died before it wrote a thing
    assert third.now_s() == began_s + 120


def test_a_clock_that_was_ahead_before_anything_was_written_is_not_believed_again() -> None:
    computer = Computer(wall=1_800_007_200.0)
    ahead = computer.clock()
    record = ahead.to_record(ahead.now_s())
    computer.go_on(60, stepped=-7200)
    written_s = computer.clock().now_s()
    computer.go_on(60)

    clock = computer.clock()
    clock.count_on(record, written_s)

    assert clock.now_s() == written_s + 60


def test_this_boot_is_one_thing_as_long_as_the_computer_runs() -> None:
    assert this_boot() == this_boot()
