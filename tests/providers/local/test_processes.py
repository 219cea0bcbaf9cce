from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.agent import protocol
from orchestrator.providers.local import processes

LABEL = "gl1-homeid-runid125-01-trpw5s-trpyxc"
FOREVER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "gpulease" / LABEL
    work.mkdir(parents=True)
    return work


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that is ready when this returns; killed when the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(
        argv: list[str] = FOREVER, *, cwd: Path | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def found(folder: Path) -> list[int]:
    return sorted(process.pid for process in processes.find(LABEL, folder))


def test_the_label_in_the_environment_marks_a_process(start: Start, folder: Path) -> None:
    process = start(GPULEASE_LABEL=LABEL)

    assert found(folder) == [process.pid]


def test_a_path_in_the_folder_marks_a_process(start: Start, folder: Path) -> None:
    process = start(GPULEASE_OUTPUT=str(folder / "output"))

    assert found(folder) == [process.pid]


@pytest.mark.parametrize(
    "environment",
    [
        {"GPULEASE_LABEL": LABEL + "x"},
        {"GPULEASE_OUTPUT": "/elsewhere/gpulease/other/output"},
        {"HOME": "inside"},
    ],
)
def test_another_machines_process_is_not_ours(
    start: Start, folder: Path, environment: dict[str, str]
) -> None:
    start(**environment)

    assert found(folder) == []


def test_a_shell_that_merely_stands_in_the_folder_is_not_ours(start: Start, folder: Path) -> None:
    start(cwd=folder)

    assert found(folder) == []


def test_the_agent_is_known_by_its_record_and_where_it_works(start: Start, folder: Path) -> None:
    agent = start(cwd=folder)
    (folder / protocol.PID_FILE).write_text(str(agent.pid))

    assert found(folder) == [agent.pid]


def test_a_recorded_pid_that_is_somebody_elses_now_is_not_ours(start: Start, folder: Path) -> None:
    stranger = start()
    (folder / protocol.PID_FILE).write_text(str(stranger.pid))

    assert found(folder) == []


@pytest.mark.parametrize("text", ["", "x", "-1", "9" * 30])
def test_a_spoilt_record_names_nobody(folder: Path, text: str) -> None:
    (folder / protocol.PID_FILE).write_text(text)

    assert found(folder) == []


def test_a_child_that_cleared_its_environment_is_found_by_its_group(
    start: Start, folder: Path
) -> None:
    script = "env -i sleep 600 & echo; wait"
    leader = start(["/bin/sh", "-c", script], GPULEASE_LABEL=LABEL)

    pids = found(folder)

    assert leader.pid in pids
    assert len(pids) == 2


def test_this_process_and_its_parents_are_spared(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from orchestrator.providers.local import processes;"
        f"print([p.pid for p in processes.find({LABEL!r}, Path(sys.argv[1]))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "GPULEASE_LABEL": LABEL},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"


def test_ending_ends_the_stubborn_and_their_children_too(start: Start, folder: Path) -> None:
    stubborn = "trap '' TERM; setsid sleep 600 & setsid sleep 600 & echo; while :; do sleep 1; done"
    process = start(["/bin/sh", "-c", stubborn], GPULEASE_LABEL=LABEL)
    polite = start(GPULEASE_LABEL=LABEL)

    assert processes.end(LABEL, folder)

    assert found(folder) == []
    assert not psutil.pid_exists(process.pid)
    assert not psutil.pid_exists(polite.pid)


def test_ending_nobody_is_done_at_once(folder: Path) -> None:
    assert processes.end(LABEL, folder)


def test_ending_leaves_strangers_alone(start: Start, folder: Path) -> None:
    stranger = start(cwd=folder)
    start(GPULEASE_LABEL=LABEL)

    assert processes.end(LABEL, folder)

    assert psutil.pid_exists(stranger.pid)
    assert stranger.poll() is None
