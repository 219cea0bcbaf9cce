from __future__ import annotations

import time
from pathlib import Path

import pytest

from orchestrator.agent.clock import Clock


def test_the_offset_file_moves_both_clocks(tmp_path: Path) -> None:
    offset = tmp_path / "clock"
    offset.write_text("0")
    clock = Clock(str(offset))
    wall_s, elapsed_s = clock.now_s(), clock.elapsed_s()

    offset.write_text("28800.5")

    assert 28800 < clock.now_s() - wall_s < 28860
    assert 28800 < clock.elapsed_s() - elapsed_s < 28860


@pytest.mark.parametrize("text", [None, "", "soon"])
def test_without_a_number_in_it_time_is_this_computers(tmp_path: Path, text: str | None) -> None:
    offset = tmp_path / "clock"
    if text is not None:
        offset.write_text(text)

    assert abs(Clock(str(offset)).now_s() - time.time()) < 5
    assert abs(Clock().now_s() - time.time()) < 5
