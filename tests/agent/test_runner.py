from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agent.clock import Clock
from orchestrator.agent.log import Log
from orchestrator.agent.processes import Children
from orchestrator.agent.runner import Ended, Runner
from orchestrator.agent.stopping import StopWish

ENV = {"PATH": "/usr/bin:/bin"}


class QuietChildren(Children):
    """Does not make the test's own process adopt orphans."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = {}
        self._spared = set()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "log.txt", 1 << 20)
    yield log
    log.close()


@pytest.fixture
def runner(log: Log) -> Runner:
    return Runner(QuietChildren(), log, StopWish(Clock()))


def test_output_and_errors_go_into_the_log_in_order(
    runner: Runner, log: Log, tmp_path: Path
) -> None:
    ended = runner.run(["sh", "-c", "echo one; echo two >&2; echo three"], cwd=tmp_path, env=ENV)

    assert ended == Ended(0, None)
    assert log.tail() == "one\ntwo\nthree\n"


def test_an_abort_ends_a_command_at_once(runner: Runner, tmp_path: Path) -> None:
    runner.abort.set()

    assert runner.run(["sleep", "600"], cwd=tmp_path, env=ENV) == Ended(None, 9, killed=True)


def test_a_background_process_of_set_up_is_left_running(
    runner: Runner, log: Log, tmp_path: Path
) -> None:
    script = "sh -c 'read -r _ <go; echo served >done' & exit 0"
    (tmp_path / "serve").write_text(script)
    make = "mkfifo go; sh serve"

    assert runner.run(["sh", "-c", make], cwd=tmp_path, env=ENV).ok

    (tmp_path / "go").write_text("now\n")  # blocks until somebody reads
    assert runner.run(["sh", "-c", "until [ -s done ]; do :; done"], cwd=tmp_path, env=ENV).ok


def test_a_short_question_has_an_answer_or_none(runner: Runner, tmp_path: Path) -> None:
    def ask(*argv: str, timeout_s: float = 20) -> tuple[int, str] | None:
        return runner.capture(argv, cwd=tmp_path, env=ENV, timeout_s=timeout_s)

    assert ask("sh", "-c", "echo yes; exit 4") == (4, "yes\n")
    assert ask("no-such-program") is None
    assert ask("sleep", "600", timeout_s=0.2) is None


class Undying(QuietChildren):
    """Signals reach nobody: so a process behaves that hangs in the driver of a broken GPU."""

    def signal_group(self, process: subprocess.Popen[bytes], number: int) -> None:
        self.undying = process

    def kill_all(self) -> None:
        """Nothing dies."""


def test_a_process_that_not_even_sigkill_ends_is_given_up(log: Log, tmp_path: Path) -> None:
    children = Undying()
    runner = Runner(children, log, StopWish(Clock()), death_s=0.3)
    runner.abort.set()

    ended = runner.run(["sleep", "600"], cwd=tmp_path, env=ENV, graceful=True)

    assert ended == Ended(None, None, killed=True)
    assert "does not end, not even by SIGKILL" in log.tail()
    children.undying.kill()
    children.undying.wait()
