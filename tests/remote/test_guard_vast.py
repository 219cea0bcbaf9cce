"""The boot guard as a Vast.ai instance runs it: in onstart, with its container's own key."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.remote.render import boot_guard
from orchestrator.runs.label import Label
from tests.providers.vast.openapi import ORACLE
from tests.remote.loopback_pod import INSTANCE, KEY, MachineApi, Pod, of_vast

SINGLE = f"/api/v0/instances/{INSTANCE}/"
SHOW, DESTROY, STOP = f"GET {SINGLE}", f"DELETE {SINGLE}", f"PUT {SINGLE}"
HOUR_S = 3600

Boot = Callable[..., Pod]


@pytest.fixture
def api() -> Iterator[MachineApi]:
    api = MachineApi({SHOW: 200, DESTROY: 200, STOP: 200}, ORACLE)
    yield api
    api.close()


@pytest.fixture
def boot(tmp_path: Path, api: MachineApi) -> Iterator[Boot]:
    """Boots instances, each with its guard armed; none outlives the test."""
    pods: list[Pod] = []
    now_s = int(time.time())
    label = str(Label("homeid", "runid123", 1, now_s - 5, now_s + HOUR_S))
    onstart = boot_guard(label, now_s - 5, now_s + HOUR_S, 2 * HOUR_S, "vast", tick_s=0.1)

    def make(client: str = "curl", *, again: Pod | None = None, **changes: str | None) -> Pod:
        tools = (client, "grep", "tr")
        pod = again or Pod(tmp_path / f"pod-{len(pods)}", label, of_vast(api), tools)
        pods.append(pod)
        for name, value in changes.items():
            if value is None:
                del pod.environment[name]
            else:
                pod.environment[name] = value
        pod.boot(onstart)
        return pod

    yield make
    for pod in pods:
        pod.shut_down()


def test_the_guard_is_armed_and_onstart_returns(boot: Boot) -> None:
    pod = boot()

    record = pod.guard()

    assert (record["credential"], record["boots"]) == (True, 1)
    pod.until(lambda: not pod.is_up(), "the end of onstart")
    assert Path(f"/proc/{record['pid']}").exists()


def test_a_login_finds_the_runs_key_once_and_no_tmux(boot: Boot) -> None:
    pod = boot()
    record = pod.guard()
    pod.until(lambda: not pod.is_up(), "the end of onstart")
    (pod.work / protocol.RUN_FILE).write_text("{}")
    os.kill(int(str(record["pid"])), signal.SIGKILL)

    boot(again=pod)

    pod.until(lambda: not pod.is_up(), "the second onstart")
    assert (pod.home / ".ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA run\n"
    assert (pod.home / ".no_auto_tmux").exists()


def test_an_instance_destroys_itself_at_its_deadline(boot: Boot, api: MachineApi) -> None:
    pod = boot()
    pod.guard()

    pod.advance(HOUR_S + 1)

    ending = api.next_ending()
    assert str(ending) == DESTROY
    assert ending.body == {}
    assert ending.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("client", ["curl", "python3", "wget"])
def test_where_destroying_is_denied_it_stops_and_never_gives_up(
    boot: Boot, api: MachineApi, client: str
) -> None:
    if client != "python3" and not shutil.which(client):
        pytest.skip(f"no {client} here")
    api.statuses = {SHOW: 200, DESTROY: 403, STOP: 403}
    pod = boot(client)
    pod.guard()

    (pod.work / protocol.END_FILE).touch()

    endings = [api.next_ending() for _ in range(10)]
    assert [str(one) for one in endings] == [DESTROY] * 6 + [STOP] * 3 + [DESTROY]
    assert endings[6].body == {"state": "stopped"}
    assert all(one.seen_in == () for one in endings)


def test_a_container_without_its_key_says_so(boot: Boot) -> None:
    pod = boot(CONTAINER_API_KEY=None)

    assert pod.guard()["credential"] is False


def test_an_instance_without_its_id_knows_it_by_its_label(boot: Boot, api: MachineApi) -> None:
    pod = boot(CONTAINER_ID=None)
    assert pod.guard()["credential"] is True

    pod.advance(HOUR_S + 1)

    assert str(api.next_ending()) == DESTROY
