from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.remote.render import GUARD_LIMIT_BYTES, agent_zipapp, boot_guard
from orchestrator.runs.label import Label
from tests.conventions.source import PROJECT
from tests.providers.runpod.openapi import ORACLE
from tests.remote.loopback_pod import KEY, POD, MachineApi, Pod, of_runpod

GOLDEN = Path(__file__).parent.parent / "golden"
WAYS = sorted(path.stem for path in (PROJECT / "templates" / "guard_ways").glob("*.sh"))
TERMINATE = f"POST /v2/pods/{POD}/action"
DELETE = f"DELETE /v2/pods/{POD}"
HOUR_S = 3600

MakePod = Callable[..., Pod]


@pytest.fixture
def api() -> Iterator[MachineApi]:
    """RunPod, where a pod may terminate itself."""
    api = MachineApi({f"GET /v2/pods/{POD}": 403, TERMINATE: 204}, ORACLE)
    yield api
    api.close()


@pytest.fixture
def make_pod(tmp_path: Path, api: MachineApi) -> Iterator[MakePod]:
    """Makes pods, each with its guard armed; none outlives the test."""
    pods: list[Pod] = []
    now_s = int(time.time())
    label = str(Label("homeid", "runid123", 1, now_s - 5, now_s + HOUR_S))

    def make(
        *clients: str,
        created_s: int = now_s - 5,
        deadline_s: int = now_s + HOUR_S,
        seconds: int = 2 * HOUR_S,
    ) -> Pod:
        pod = Pod(tmp_path / f"pod-{len(pods)}", label, of_runpod(api), clients or ("curl",))
        pods.append(pod)
        pod.boot(boot_guard(label, created_s, deadline_s, seconds, tick_s=0.1))
        return pod

    yield make
    for pod in pods:
        pod.shut_down()


def test_an_armed_guard_says_what_it_can_do(make_pod: MakePod) -> None:
    pod = make_pod()

    record = pod.guard()

    assert record["credential"] is True
    assert record["boots"] == 1
    assert record["label"] == pod.work.name
    assert pod.is_up()
    assert (pod.work / "guard.json").stat().st_mode & 0o777 == 0o600
    command_line = Path(f"/proc/{record['pid']}/cmdline").read_bytes()
    assert protocol.GUARD_SCRIPT.encode() in command_line


def test_the_machines_environment_is_kept_for_its_owner_only(make_pod: MakePod) -> None:
    pod = make_pod()
    pod.guard()

    saved = pod.work / protocol.ENVIRONMENT_FILE

    assert saved.stat().st_mode & 0o777 == 0o600
    variables = dict(entry.split("=", 1) for entry in saved.read_text().split("\0") if entry)
    assert variables["RUNPOD_API_KEY"] == KEY
    assert variables["PATH"] == pod.environment["PATH"]


def test_an_image_without_a_start_script_gets_sshd_with_the_runs_key(make_pod: MakePod) -> None:
    pod = make_pod()

    pod.until((pod.home / "sshd-started").exists, "sshd")

    assert (pod.home / ".ssh" / "authorized_keys").read_text() == "ssh-ed25519 AAAA run\n"


def test_a_machine_ends_itself_at_its_deadline(make_pod: MakePod, api: MachineApi) -> None:
    pod = make_pod()
    pod.guard()

    pod.advance(HOUR_S + 1)

    ending = api.next_ending()
    assert str(ending) == TERMINATE
    assert ending.body == {"action": "terminate"}
    assert ending.headers["Authorization"] == f"Bearer {KEY}"
    assert ending.headers["Content-Type"] == "application/json"
    assert ending.headers["User-Agent"] == "gpulease"


def test_a_wall_clock_that_was_never_set_leaves_the_uptime_clock(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod(created_s=int(time.time()) + 90 * HOUR_S, deadline_s=0, seconds=600)
    pod.guard()
    assert api.calls.qsize() == 1

    pod.advance(601)

    assert str(api.next_ending()) == TERMINATE


def test_the_deadline_file_moves_the_deadline_earlier(make_pod: MakePod, api: MachineApi) -> None:
    pod = make_pod()
    pod.guard()

    (pod.work / "deadline").write_text(f"{time.time() - 1}")

    assert str(api.next_ending()) == TERMINATE


@pytest.mark.parametrize("later", ["99999999999", "99999999999999999999", "soon", "-1", ""])
def test_the_deadline_file_never_moves_it_later(
    make_pod: MakePod, api: MachineApi, later: str
) -> None:
    pod = make_pod()
    pod.guard()

    (pod.work / "deadline").write_text(later)
    pod.advance(HOUR_S + 1)

    assert str(api.next_ending()) == TERMINATE


def test_the_agent_ends_the_machine_by_a_file(make_pod: MakePod, api: MachineApi) -> None:
    pod = make_pod()
    pod.guard()

    (pod.work / protocol.END_FILE).touch()

    assert str(api.next_ending()) == TERMINATE


def test_a_machine_to_which_nothing_is_shipped_ends_after_twenty_minutes(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod()
    pod.guard()

    pod.advance(1201)

    assert str(api.next_ending()) == TERMINATE


def test_a_machine_stays_while_its_files_are_still_coming(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod()
    pod.guard()
    data = pod.work / protocol.DATA_DIR / "train.jsonl"
    data.parent.mkdir()

    for passed_s in (1100, 2200, 3300):
        with data.open("a") as file:
            file.write("a row\n")
        pod.until_it_looked_again()
        pod.advance(passed_s)
        pod.until_it_looked_again()
    assert api.calls.qsize() == 1

    pod.advance(3300 + 1201)
    assert str(api.next_ending()) == TERMINATE


def test_what_came_before_a_long_silence_is_no_sign_of_life(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod()
    pod.guard()

    (pod.work / protocol.AGENT).touch()
    pod.advance(1201)

    assert str(api.next_ending()) == TERMINATE


def test_a_machine_with_a_job_stays(make_pod: MakePod, api: MachineApi) -> None:
    pod = make_pod()
    pod.guard()
    (pod.work / protocol.RUN_FILE).write_text("{}")

    pod.advance(1201)
    pod.until_it_looked_again()

    assert api.calls.qsize() == 1


def test_a_start_command_that_runs_again_without_a_job_ends_the_machine(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod()
    record = pod.guard()
    os.kill(int(str(record["pid"])), signal.SIGKILL)
    command = boot_guard(pod.work.name, 1, int(time.time()) + HOUR_S, HOUR_S, tick_s=0.1)

    pod.boot(command)

    assert str(api.next_ending()) == TERMINATE


def test_after_another_boot_what_a_job_left_can_be_fetched_for_twenty_minutes(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod()
    os.kill(int(str(pod.guard()["pid"])), signal.SIGKILL)
    (pod.work / protocol.RUN_FILE).write_text("{}")
    (pod.work / "guard.json").unlink()
    pod.boot(boot_guard(pod.work.name, 1, int(time.time()) + HOUR_S, HOUR_S, tick_s=0.1))
    assert pod.guard()["boots"] == 2

    pod.advance(1201)

    assert str(api.next_ending()) == TERMINATE


def test_a_refused_way_is_followed_by_the_next_until_one_is_left(
    make_pod: MakePod, api: MachineApi
) -> None:
    api.statuses = {f"GET /v2/pods/{POD}": 200, TERMINATE: 403, DELETE: 401, "POST /graphql": 410}
    pod = make_pod()
    pod.add_program("runpodctl", 'echo "$@" >>"$HOME/runpodctl"; [ "$1" = stop ]')
    pod.guard()

    (pod.work / protocol.END_FILE).touch()

    endings = [api.next_ending() for _ in range(9)]
    ways = [TERMINATE] * 3 + [DELETE] * 3 + ["POST /graphql"] * 3
    assert [str(ending) for ending in endings] == ways
    assert endings[3].body is None
    assert endings[6].body == {"query": f'mutation{{podTerminate(input:{{podId:"{POD}"}})}}'}
    said = pod.home / "runpodctl"
    pod.until(lambda: said.exists() and "stop" in said.read_text(), "runpodctl")
    assert said.read_text().splitlines() == [f"remove pod {POD}"] * 3 + [f"stop pod {POD}"]


@pytest.mark.parametrize("client", ["curl", "python3", "wget"])
def test_every_client_ends_the_machine_and_none_shows_the_key(
    make_pod: MakePod, api: MachineApi, client: str
) -> None:
    if client != "python3" and not shutil.which(client):
        pytest.skip(f"no {client} here")
    api.statuses[TERMINATE] = 403
    pod = make_pod(client)
    pod.guard()

    (pod.work / protocol.END_FILE).touch()

    calls = [api.next_ending() for _ in range(4)]
    assert [str(call) for call in calls] == [TERMINATE] * 3 + [DELETE]
    for call in calls:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        assert call.headers["User-Agent"] == "gpulease"
        assert call.seen_in == ()
    assert calls[0].body == {"action": "terminate"}
    assert calls[0].headers["Content-Type"] == "application/json"


def test_a_machine_without_the_platforms_key_says_so(make_pod: MakePod) -> None:
    pod = make_pod()
    pod.guard()
    pod.shut_down()
    del pod.environment["RUNPOD_API_KEY"]
    for name in ("boots", "guard.json"):
        (pod.work / name).unlink()

    pod.boot(boot_guard(pod.work.name, 1, int(time.time()) + HOUR_S, HOUR_S, tick_s=0.1))

    assert pod.guard()["credential"] is False


def test_agent_and_guard_end_the_machine_when_nobody_fetches(
    make_pod: MakePod, api: MachineApi
) -> None:
    pod = make_pod()
    loop = int(str(pod.guard()["pid"]))
    now_s = time.time()
    run = {
        "protocol": protocol.PROTOCOL,
        "run": "runid123",
        "label": pod.work.name,
        "created_at": now_s,
        "deadline_at": now_s + HOUR_S,
        "hold_s": 1800,
        "device": "cpu",
        "command": ":",
    }
    (pod.work / protocol.RUN_FILE).write_text(json.dumps(run))
    (pod.work / protocol.AGENT).write_bytes(agent_zipapp())
    session = {"HOME": str(pod.home), "PATH": "/usr/bin:/bin"}  # without the platform's variables
    subprocess.run([sys.executable, protocol.AGENT, "start"], cwd=pod.work, env=session, check=True)
    events = pod.work / protocol.EVENTS_FILE
    pod.until(lambda: events.exists() and "ready" in events.read_text(), "the end of the job")
    os.kill(loop, signal.SIGKILL)

    pod.advance(1801)

    ending = api.next_ending()
    assert str(ending) == TERMINATE
    assert ending.headers["Authorization"] == f"Bearer {KEY}"
    assert '"why":"hold"' in (pod.work / protocol.EVENTS_FILE).read_text()


@pytest.mark.parametrize("ways", WAYS)
def test_the_rendered_guard_is_the_golden_one(ways: str) -> None:
    label = str(Label("homeid", "runid123", 1, 1800000000, 1800003600))
    rendered = boot_guard(label, 1800000000, 1800003600, 3600, ways)

    golden = GOLDEN / f"boot_guard_{ways}.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(rendered)
    assert rendered == golden.read_text()


@pytest.mark.parametrize("ways", WAYS)
def test_the_longest_guard_stays_under_its_limit(ways: str) -> None:
    label = str(Label("homeid", "runid123", 35, 1800000000, 1802592000))
    month_s = 30 * 24 * HOUR_S
    longest = boot_guard(label, 1800000000, 1802592000, month_s, ways, tick_s=60)

    assert len(longest) <= GUARD_LIMIT_BYTES
    assert "@" not in re.sub(r"\$@", "", longest)


@pytest.mark.parametrize("ways", WAYS)
def test_dash_and_shellcheck_find_nothing_wrong(tmp_path: Path, ways: str) -> None:
    text = (GOLDEN / f"boot_guard_{ways}.sh").read_text()
    outer = tmp_path / "guard"
    outer.write_text(f"#!/bin/sh\n{text}")
    inner = tmp_path / "inner"
    inner.write_text("#!/bin/sh\n" + text.split("EOF")[1].partition("\n")[2])

    for script in (outer, inner):
        subprocess.run(["sh", "-n", script], check=True)
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", script], check=True)


@pytest.mark.parametrize(("label", "ways"), [("a b", "runpod"), ("$(x)", "runpod"), ("x", "../x")])
def test_nothing_but_a_label_gets_into_the_shell_text(label: str, ways: str) -> None:
    with pytest.raises(ValueError, match="not a label"):
        boot_guard(label, 1, 2, 3, ways)


def test_the_agent_is_the_same_bytes_every_time_and_runs_from_anywhere(tmp_path: Path) -> None:
    agent = tmp_path / protocol.AGENT
    agent.write_bytes(agent_zipapp())
    agent_zipapp.cache_clear()

    again = agent_zipapp()
    ran = subprocess.run(
        [sys.executable, "-I", agent, "guard-status"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )

    assert hashlib.sha256(again).digest() == hashlib.sha256(agent.read_bytes()).digest()
    assert b'"armed":false' in ran.stdout
    names = zipfile.ZipFile(io.BytesIO(again)).namelist()
    assert names == sorted(names)
    assert "gpulease_agent/protocol.py" in names
