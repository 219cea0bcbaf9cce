from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.remote.child import CHUNK_BYTES, Child, Patience, Stalled


def lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_child_answers_and_ends_with_its_code() -> None:
    child = Child(["sh", "-c", "cat; echo problem >&2; exit 7"])
    child.send(b"hello", stall_s=5)
    child.close_stdin()

    assert child.receive(100, stall_s=5) == b"hello"
    assert child.end(Patience(5)) == 7
    assert child.last_words() == "problem"


def test_waits_for_a_silent_or_deaf_child_are_bounded() -> None:
    child = Child(["sleep", "30"])

    with pytest.raises(Stalled):
        child.receive(1, stall_s=0.1)
    with pytest.raises(Stalled):
        child.send(bytes(10_000_000), stall_s=0.1)
    with pytest.raises(Stalled):
        child.end(Patience(0.1))
    child.kill()
    child.kill()


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have one size here")
def test_a_pipe_from_which_much_is_expected_holds_more() -> None:
    program = f"read go; head -c {CHUNK_BYTES} /dev/zero; echo written >&2; cat"
    child = Child(["sh", "-c", program])
    child.expect(10 * CHUNK_BYTES)
    child.send(b"go\n", stall_s=5)

    patience = Patience(10)
    try:
        while not child.stderr:  # nobody reads stdout
            assert patience.left_s() > 0
            with contextlib.suppress(Stalled):
                child.wait(reading=False, writing=False, patience=Patience(0.05))
    finally:
        child.kill()


def test_stderr_is_cut_and_does_not_block_the_child() -> None:
    child = Child(["sh", "-c", "head -c 3000000 /dev/zero >&2; echo done"], stderr_limit_bytes=1000)

    assert child.receive(100, stall_s=10) == b"done\n"
    assert child.end(Patience(10)) == 0
    assert len(child.stderr) == 1000


def test_stderr_alone_does_not_keep_a_wait_alive() -> None:
    child = Child(["sh", "-c", "while :; do echo still here >&2; done"])

    with pytest.raises(Stalled):
        child.receive(1, stall_s=0.3)
    child.kill()


def test_kill_ends_what_the_child_started() -> None:
    child = Child(["sh", "-c", "sleep 30 & echo $!; wait"])
    pid = int(child.receive(100, stall_s=5))
    child.kill()

    patience = Patience(10)
    while lives(pid):  # a signal is delivered when the process runs next
        assert patience.left_s(), "it goes on"


def test_patience_is_never_negative() -> None:
    clock = FakeClock()
    patience = Patience(10, clock)
    clock.advance(4)
    assert patience.left_s() == 6
    clock.advance(60)
    assert patience.left_s() == 0
