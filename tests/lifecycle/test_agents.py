from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.agent.protocol import EVENTS_FILE
from orchestrator.lifecycle.agents import agent_lives, agent_status, past_a_cut_log, up_s
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.shell import Reply
from tests.lifecycle.steps.harness import Box
from tests.runs.samples import run


@pytest.mark.parametrize(
    ("said", "lives"),
    [
        (b'{"agent_alive": true}', True),
        (b'{"agent_alive": false, "boots": 2}', False),
        (b'{"agent_alive": "yes"}', None),
        (b"nonsense", None),
        (b"", None),
    ],
)
def test_what_a_machine_says_of_its_agent_is_believed_only_as_far_as_it_is_plain(
    said: bytes, lives: bool | None
) -> None:
    assert agent_lives(Box(replies={"guard-status": Reply(0, said, b"")})) is lives


def test_an_answer_without_end_is_cut() -> None:
    answer = b'{"agent_alive": true, "x": "' + b"x" * 9000 + b'"}'

    assert agent_status(Box(replies={"guard-status": Reply(0, answer, b"")})) == {}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(b"30.51 12.00\n", 30.51), (b"", None), (b"cat: no such file", None), (b"\xff", None)],
)
def test_since_when_a_kernel_runs_is_known_where_it_says_so(
    said: bytes, seconds: float | None
) -> None:
    assert up_s(Box(replies={"uptime": Reply(0, said, b"")})) == seconds


@pytest.mark.parametrize(("size_bytes", "offset"), [(99, 0), (100, 100), (101, 100), (None, 100)])
def test_an_event_log_is_read_from_its_start_only_where_it_was_cut(
    tmp_path: Path, size_bytes: int | None, offset: int
) -> None:
    if size_bytes is not None:
        (tmp_path / EVENTS_FILE).write_bytes(b"x" * size_bytes)

    assert past_a_cut_log(run(event_offset=100), FolderShell(tmp_path)).event_offset == offset


@pytest.mark.parametrize("said", [b"", b"-1", b"99 bytes", "²".encode(), b"9" * 5000, b"1e1"])
def test_a_size_that_is_none_changes_nothing(said: bytes) -> None:
    class Odd(Box):
        def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
            return Reply(0, said, b"")

    assert past_a_cut_log(run(event_offset=100), Odd()).event_offset == 100
