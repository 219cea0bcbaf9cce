from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.guard import guard_lives, guard_record


def test_a_guard_lives_while_its_loop_runs(tmp_path: Path) -> None:
    script = tmp_path / protocol.GUARD_SCRIPT
    script.write_text("echo up\nread -r _\n:\n")
    with subprocess.Popen(["sh", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline() == b"up\n"
        (tmp_path / protocol.GUARD_FILE).write_text(json.dumps({"pid": loop.pid}))
        assert guard_lives(tmp_path)
        assert loop.stdin is not None
        loop.stdin.close()

    assert not guard_lives(tmp_path)


@pytest.mark.parametrize("record", ["", "{}", '{"pid": "1"}', '{"pid": 0}', '{"pid": -1}', "[]"])
def test_a_record_without_a_process_is_no_living_guard(tmp_path: Path, record: str) -> None:
    (tmp_path / protocol.GUARD_FILE).write_text(record)

    assert not guard_lives(tmp_path)


def test_another_process_under_the_old_pid_is_no_living_guard(tmp_path: Path) -> None:
    (tmp_path / protocol.GUARD_FILE).write_text(json.dumps({"pid": os.getpid()}))

    assert not guard_lives(tmp_path)


def test_no_record_is_an_empty_one(tmp_path: Path) -> None:
    assert guard_record(tmp_path) == {}
