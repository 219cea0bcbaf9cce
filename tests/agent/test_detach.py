from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.detach import AlreadyStarted, agent_process, take_lock


def test_a_lock_that_is_held_says_by_whom(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    os.pwrite(lock, b"4711", 0)

    with pytest.raises(AlreadyStarted) as refused:
        take_lock(tmp_path)
    assert refused.value.pid == 4711
    assert agent_process(tmp_path) == (4711, True)
    os.close(lock)
    assert agent_process(tmp_path) == (4711, False)


def test_a_folder_has_one_agent_once(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    os.pwrite(lock, b"4711", 0)
    os.close(lock)

    with pytest.raises(AlreadyStarted):
        take_lock(tmp_path)


def test_an_agent_may_follow_one_that_died_and_only_then(tmp_path: Path) -> None:
    with pytest.raises(AlreadyStarted):
        take_lock(tmp_path, after_another=True)
    lock = take_lock(tmp_path)
    os.pwrite(lock, b"4711", 0)
    with pytest.raises(AlreadyStarted):
        take_lock(tmp_path, after_another=True)

    os.close(lock)

    os.close(take_lock(tmp_path, after_another=True))


def test_a_start_that_died_before_the_daemon_lived_may_be_repeated(tmp_path: Path) -> None:
    os.close(take_lock(tmp_path))

    os.close(take_lock(tmp_path))


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / protocol.PID_FILE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        take_lock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_without_an_agent_says_so(tmp_path: Path) -> None:
    assert agent_process(tmp_path) == (0, False)
