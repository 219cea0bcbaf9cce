from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.detach import agent_process
from tests.agent.work_folder import WorkFolder, runs

CHECKPOINTS_ON_SIGTERM = """
import json, os, pathlib, signal, sys, time
def stop(*_):
    folder = pathlib.Path(os.environ["GPULEASE_CHECKPOINTS"]) / "step-40"
    folder.mkdir()
    (folder / "state").write_bytes(b"s" * 100)
    files = [{"path": "state", "size_bytes": 100, "sha256": ""}]
    (folder / "complete.json").write_text(json.dumps({"step": 40, "at": 0, "files": files}))
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def test_a_stop_gives_the_program_time_for_a_checkpoint(work: WorkFolder) -> None:
    work.write_program(CHECKPOINTS_ON_SIGTERM)
    work.start()
    work.wait_for_log("ready")

    work.call("stop", "60", "cancelled by the user")
    work.wait_for("ready")

    record = work.record(protocol.EXIT_FILE)
    assert (record["why"], record["exit_code"], record["message"]) == (
        "stopped",
        0,
        "cancelled by the user",
    )
    (checkpoint,) = work.events("checkpoint")
    assert checkpoint["step"] == 40
    assert checkpoint["path"] == "checkpoints/step-40"
    assert checkpoint["size_bytes"] == 100
    assert work.manifest()["checkpoints/step-40/state"]["kind"] == "checkpoint"


def test_a_stop_that_cannot_be_written_reaches_the_agent_all_the_same(work: WorkFolder) -> None:
    work.write_program(CHECKPOINTS_ON_SIGTERM)
    work.start()
    work.wait_for_log("ready")
    (work.path / f"{protocol.STOP_FILE}.new").mkdir()  # as on a disk that takes no byte

    work.call("stop", "60", "cancelled")
    work.wait_for("ready")

    assert work.record(protocol.EXIT_FILE)["why"] == "stopped"
    assert [event["step"] for event in work.events("checkpoint")] == [40]
    assert not (work.path / protocol.STOP_FILE).exists()


def test_a_program_that_does_not_stop_is_killed_when_its_grace_is_over(work: WorkFolder) -> None:
    work.write_program(IGNORES_SIGTERM)
    work.start()
    work.wait_for_log("ready")

    work.call("stop", "60")
    work.wait_for_log("not yet")
    assert not work.events("exited")
    work.advance(61)
    work.wait_for("ready")

    record = work.record(protocol.EXIT_FILE)
    assert (record["why"], record["exit_code"], record["signal"]) == ("stopped", None, 9)


@pytest.mark.parametrize("command", ["python program.py", "python program.py | cat; echo over"])
def test_the_shell_of_a_command_may_die_and_the_program_still_has_its_grace(
    work: WorkFolder, command: str
) -> None:
    work.write_program(
        CHECKPOINTS_ON_SIGTERM.replace("def stop(*_):", "def stop(*_):\n    time.sleep(0.5)")
    )
    work.write_run(command)
    work.start()
    work.wait_for_log("ready")

    work.call("stop", "60", "cancelled")
    work.wait_for("ready")

    assert [event["step"] for event in work.events("checkpoint")] == [40]
    assert work.record(protocol.EXIT_FILE)["why"] == "stopped"


def test_a_program_below_a_shell_is_killed_when_its_grace_is_over(work: WorkFolder) -> None:
    work.write_program(IGNORES_SIGTERM)
    work.write_run("python program.py")
    work.start()
    work.wait_for_log("ready")

    work.call("stop", "60")
    work.wait_for_log("not yet")
    assert not work.events("exited")
    work.advance(61)
    work.wait_for("ready")

    assert work.record(protocol.EXIT_FILE)["why"] == "stopped"


def test_a_stop_during_set_up_is_a_stop_and_no_failure(work: WorkFolder) -> None:
    work.write_run("echo the program ran", setup="echo waiting; sleep 600")
    work.start()
    work.wait_for_log("waiting")

    work.call("stop")
    work.wait_for("ready")

    record = work.record(protocol.EXIT_FILE)
    assert (record["why"], record["phase"], record["exit_code"]) == ("stopped", "setup", None)
    assert "the program ran" not in work.log()


def test_the_program_is_stopped_before_the_deadline_and_the_machine_ends_at_it(
    work: WorkFolder,
) -> None:
    work.write_program(CHECKPOINTS_ON_SIGTERM)
    work.start()
    work.wait_for_log("ready")

    work.advance(3600 - 60 - 14)  # inside grace and flush time before the deadline
    work.wait_for("ready")
    assert work.record(protocol.EXIT_FILE)["why"] == "deadline"
    assert "checkpoints/step-40/state" in work.manifest()
    assert not work.events("ending")
    work.advance(120)

    assert work.wait_for("ending")["why"] == "deadline"
    work.until(lambda: not work.agent_is_alive(), "the agent's end")


def test_a_deadline_file_moves_the_deadline_earlier(work: WorkFolder) -> None:
    work.write_program(IGNORES_SIGTERM, grace_s=1)
    work.start()
    work.wait_for_log("ready")

    (work.path / protocol.DEADLINE_FILE).write_text(str(int(work.started_s)))

    assert work.wait_for("ending")["why"] == "deadline"
    work.until(lambda: not work.agent_is_alive(), "the agent's end")
    assert work.record(protocol.EXIT_FILE)["why"] == "deadline"


def test_an_agent_that_nobody_fetches_from_ends_after_the_hold(work: WorkFolder) -> None:
    work.write_run("true")
    work.run()

    work.advance(1790)
    assert work.agent_is_alive()
    work.advance(20)

    assert work.wait_for("ending")["why"] == "hold"
    work.until(lambda: not work.agent_is_alive(), "the agent's end")


def test_lost_contact_ends_no_running_job(work: WorkFolder) -> None:
    work.write_program(IGNORES_SIGTERM, deadline_at=work.started_s + 100_000)
    work.start()
    work.wait_for_log("ready")

    work.advance(8 * 3600)
    checkpoint = work.path / "checkpoints" / "step-1"
    checkpoint.mkdir()
    (checkpoint / "complete.json").write_text('{"step": 1}')
    work.wait_for("checkpoint")  # the agent has looked around eight hours later

    assert not work.events("ending")
    assert not work.events("exited")


def test_the_agent_on_this_computer_ends_when_all_is_fetched(work: WorkFolder) -> None:
    work.write_run("true")
    work.run()

    (work.path / protocol.FETCHED_FILE).touch()

    assert work.wait_for("ending")["why"] == "fetched"
    work.until(lambda: not work.agent_is_alive(), "the agent's end")
    assert (work.path / protocol.MANIFEST_FILE).exists()


def test_a_machine_is_ended_through_its_guard_which_is_started_again(work: WorkFolder) -> None:
    (work.path / protocol.GUARD_SCRIPT).write_text(
        'echo "{\\"pid\\":$$}" >guard.json\n'
        "while [ ! -f end ]; do sleep 0.1; done\n"
        'echo "$RUNPOD_API_KEY" >ended\n'
        "sleep 600\n"
    )
    (work.path / protocol.ENVIRONMENT_FILE).write_bytes(b"RUNPOD_API_KEY=rpa_1\0")
    work.write_run("true", ends_machine=True)
    work.run()
    work.until((work.path / "guard.json").exists, "the guard's loop")
    first = json.loads((work.path / "guard.json").read_text())["pid"]
    os.kill(first, signal.SIGKILL)

    work.advance(1900)

    assert work.wait_for("ending")["why"] == "hold"
    work.until((work.path / "ended").exists, "the end of the machine")
    assert (work.path / "ended").read_text() == "rpa_1\n"
    assert json.loads((work.path / "guard.json").read_text())["pid"] != first
    assert work.agent_is_alive()


def test_the_guard_survives_the_end_of_the_program(work: WorkFolder) -> None:
    (work.path / protocol.GUARD_SCRIPT).write_text(
        'echo "{\\"pid\\":$$}" >guard.json\nwhile :; do sleep 0.1; done\n'
    )
    work.write_run("while [ ! -f ../guard.json ]; do sleep 0.1; done", ends_machine=True)
    work.run()

    pid = json.loads((work.path / "guard.json").read_text())["pid"]

    assert Path(f"/proc/{pid}").exists()


def test_the_end_of_the_login_session_does_not_reach_the_agent(work: WorkFolder) -> None:
    work.write_program(CHECKPOINTS_ON_SIGTERM)
    work.start()
    work.wait_for_log("ready")

    os.kill(work.agent_pid(), signal.SIGHUP)
    os.kill(work.agent_pid(), signal.SIGINT)
    os.kill(work.agent_pid(), signal.SIGTERM)
    work.wait_for("ready")

    record = work.record(protocol.EXIT_FILE)
    assert (record["why"], record["message"]) == ("stopped", "the agent got SIGTERM")


def test_a_removed_folder_ends_agent_and_program(work: WorkFolder) -> None:
    work.write_program(IGNORES_SIGTERM + "\n")
    work.start()
    work.wait_for_log("ready")
    pid = work.agent_pid()

    shutil.rmtree(work.path)

    work.until(lambda: not runs(pid), "the agent's end")


def test_host_samples_come_from_the_first_second_on(work: WorkFolder) -> None:
    work.write_run("true")
    work.run()

    sample = work.wait_for("host")

    assert isinstance(sample["ram_used_bytes"], int)
    assert isinstance(sample["disk_free_bytes"], int)
    assert isinstance(sample["gpus"], list)


def test_every_file_of_the_agent_is_for_its_owner_only(work: WorkFolder) -> None:
    work.write_run("touch $GPULEASE_OUTPUT/x")
    work.run()

    written = ["agent.pid", "events.jsonl", "log.txt", "exit.json", "manifest.json", "output/x"]
    modes = {name: (work.path / name).stat().st_mode & 0o777 for name in written}

    assert set(modes.values()) == {0o600}


DIES_IN_MID_JOB = """\
import os, pathlib, signal, subprocess, sys, time
def save(number, _):
    pathlib.Path(os.environ["GPULEASE_OUTPUT"], "saved.txt").write_text("in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
pathlib.Path(os.environ["GPULEASE_OUTPUT"], "half.txt").write_text("half")
left = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600"], start_new_session=True)
print("left", left.pid, flush=True)
time.sleep(600)
"""


def test_what_an_agent_that_died_left_is_ended_and_given_back_by_another(work: WorkFolder) -> None:
    label = f"gl1-dies-{os.getpid()}"
    work.write_program(DIES_IN_MID_JOB, label=label, grace_s=1)
    work.start()
    work.wait_for_log("left")
    left = int(re.findall(r"left (\d+)", work.log())[0])
    os.kill(work.agent_pid(), signal.SIGKILL)
    work.until(lambda: not agent_process(work.path)[1], "the agent's death")

    answer = work.call("conclude")
    work.wait_for("ready")

    assert answer.returncode == 0, answer.stderr
    assert work.manifest().keys() >= {"output/half.txt", "output/saved.txt", "log.txt", "exit.json"}
    assert "died" in str(work.record(protocol.EXIT_FILE)["message"])
    work.until(lambda: not runs(left), "the end of what it left")

    os.kill(work.agent_pid(), signal.SIGKILL)
    work.until(lambda: not agent_process(work.path)[1], "the second agent's death")
    assert work.call("conclude").returncode == 3


def test_how_a_program_ended_stays_known_where_its_agent_died_behind_it(work: WorkFolder) -> None:
    work.write_run("echo done; exit 3", label=f"gl1-ended-{os.getpid()}")
    work.run()
    (work.path / protocol.MANIFEST_FILE).unlink()
    os.kill(work.agent_pid(), signal.SIGKILL)
    work.until(lambda: not agent_process(work.path)[1], "the agent's death")

    work.call("conclude")
    work.until((work.path / protocol.MANIFEST_FILE).exists, "the list")

    assert work.record(protocol.EXIT_FILE)["exit_code"] == 3
    assert work.call("conclude").returncode == 0  # its answer may be lost


def test_nobody_follows_an_agent_that_never_was(work: WorkFolder) -> None:
    work.write_run("true")

    assert work.call("conclude").returncode == 3
