from __future__ import annotations

import json
import os
import re

import pytest

from orchestrator.agent import protocol
from tests.agent.work_folder import WorkFolder, runs


def test_start_returns_at_once_while_the_job_goes_on(work: WorkFolder) -> None:
    work.write_run("echo going; sleep 600")

    answer = work.start()  # hangs when the daemon keeps one of the three descriptors

    assert answer == {"started": True, "pid": work.agent_pid()}
    assert os.getsid(work.agent_pid()) != os.getsid(0)
    work.wait_for_log("going")


def test_a_second_start_finds_the_living_agent_and_starts_none(work: WorkFolder) -> None:
    work.write_run("echo once; sleep 600")
    first = work.start()
    work.wait_for_log("once")

    assert work.start() == {**first, "again": True}
    assert work.log().count("once") == 1


def test_a_folder_whose_agent_is_gone_gets_no_other(work: WorkFolder) -> None:
    work.write_run("echo once")
    work.run()
    work.call("kill")

    refused = work.call("start")

    assert refused.returncode == 3
    answer = json.loads(refused.stdout)
    assert (answer["started"], answer["pid"]) == (False, work.agent_pid())
    assert b"started before" in refused.stderr
    assert work.log().count("once") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", 99),
        ("device", "tpu"),
        ("hold_s", -1),
        ("run", ""),
        ("requirements", "../requirements.txt"),
        ("environment", {"A": 1}),
        ("model", "acme/tiny"),
    ],
)
def test_a_run_file_that_cannot_be_run_is_refused_by_name(
    work: WorkFolder, field: str, value: object
) -> None:
    work.write_run("true", **{field: value})

    refused = work.call("start")

    assert refused.returncode == 2
    assert field in json.loads(refused.stdout)["error"]
    assert not (work.path / protocol.PID_FILE).exists()


def test_without_a_run_file_nothing_starts(work: WorkFolder) -> None:
    refused = work.call("start")

    assert (refused.returncode, json.loads(refused.stdout)["started"]) == (2, False)


def test_kill_ends_the_agent_and_all_that_came_of_it(work: WorkFolder) -> None:
    work.write_program(
        "import subprocess, time\n"
        "left = subprocess.Popen(['sleep', '600'], start_new_session=True, env={})\n"
        "print('left', left.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    work.start()
    work.wait_for_log("left")

    assert work.call("kill").returncode == 0

    left = re.search(r"left (\d+)", work.log())
    assert left is not None
    assert not runs(int(left[1]))
    assert not work.agent_is_alive()
    assert not work.events("exited")


def test_guard_status_says_what_is_known(work: WorkFolder) -> None:
    (work.path / protocol.GUARD_FILE).write_text(
        '{"armed_at": 1, "label": "gl1-x", "boots": 1, "credential": true, "reachable": true,'
        ' "pid": 999999999}'
    )
    (work.path / protocol.DEADLINE_FILE).write_text("1800003600\n")

    status = json.loads(work.call("guard-status").stdout)

    assert status == {
        "armed": False,
        "credential": True,
        "reachable": True,
        "label": "gl1-x",
        "boots": 1,
        "agent_pid": None,
        "agent_alive": False,
        "deadline": 1800003600.0,
    }


def test_an_unknown_command_says_which_there_are(work: WorkFolder) -> None:
    refused = work.call("halt")

    assert refused.returncode == 64
    names = b"start, conclude, resume, stop, kill, send, clear, here, drop, guard-status"
    assert names in refused.stderr
