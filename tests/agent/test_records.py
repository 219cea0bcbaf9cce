from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from orchestrator.agent.clock import Clock
from orchestrator.agent.records import Events, Reserve, is_disk_full, read_record, write_record


def test_a_record_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    write_record(path, {"a": 1})
    write_record(path, {"a": 2})

    assert read_record(path) == {"a": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["exit.json"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_no_record(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)

    assert read_record(tmp_path / "x") is None


def test_an_event_after_half_a_line_gets_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "progress", "ste')

    Events(path, Clock(), Reserve(tmp_path / "reserve")).add("message", text="hello")

    half, whole = path.read_text().splitlines()
    assert half == '{"event": "progress", "ste'
    assert json.loads(whole)["text"] == "hello"


def test_a_full_disk_and_a_full_quota_are_one_thing() -> None:
    assert is_disk_full(OSError(errno.ENOSPC, ""))
    assert is_disk_full(OSError(errno.EDQUOT, ""))
    assert not is_disk_full(OSError(errno.EACCES, ""))
