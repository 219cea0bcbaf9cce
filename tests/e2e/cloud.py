"""A simulated cloud in a process of its own, with real sshd machines, and its control server."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from infra.demo import read_exports
from orchestrator.runs.label import parse_label
from tests.conventions.source import PROJECT


@contextmanager
def meanwhile(do: Callable[[], None], every_s: float) -> Iterator[None]:
    """Do it again and again as long as the block lasts."""
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(every_s):
            do()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def hurrying(advance: Callable[[float], None], step_s: float) -> AbstractContextManager[None]:
    """Let `step_s` go by again and again, as long as the block lasts."""
    return meanwhile(lambda: advance(step_s), every_s=0.2)


def deadline_s_of(machine: Mapping[str, Any]) -> int:
    """Until when a machine may live at most, as its label says."""
    label = parse_label(machine["label"])
    assert label is not None
    return label.deadline_s


class Cloud:
    """Everything is real but the provider; `env` leads a command to it."""

    def __init__(self, state: Path, environment: Mapping[str, str], *options: str) -> None:
        self.folder = state
        command = [sys.executable, "-m", "infra.simcloud", "up", "--state", str(state)]
        if "--providers" not in options:
            command += ["--providers", "runpod"]
        self._process = subprocess.Popen(
            [*command, *options],
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "ready\n":
                break
        self.env = read_exports((state / "env").read_text())
        self._control = httpx.Client(base_url=self.env["SIMCLOUD_URL"], trust_env=False, timeout=30)

    def close(self) -> None:
        self._control.close()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(30)

    def machines(self, home_id: str = "") -> list[dict[str, Any]]:
        """Every machine that was ever rented (from one home), oldest first."""
        return [one for one in self._ask("GET", "/machines") if f"-{home_id}" in one["label"]]

    def living(self, home_id: str = "") -> list[dict[str, Any]]:
        return [one for one in self.machines(home_id) if one["ended_at"] is None]

    def billed_usd(self, home_id: str = "") -> Decimal:
        return sum((Decimal(one["billed_usd"]) for one in self.machines(home_id)), Decimal(0))

    def calls(self, method: str = "") -> list[dict[str, Any]]:
        """What was asked of the provider's API, oldest first."""
        return [one for one in self._ask("GET", "/calls") if one["method"] == (method or "GET")]

    def fault(self, fault: str, *, operation: str = "", **options: object) -> None:
        """Script a fault: see infra/simcloud/faults.py; `key_revoked` and `key_restored` too."""
        body = {"operation": operation, "fault": fault, **options}
        self._ask("POST", "/faults", body)

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    def switch(self, **switches: object) -> None:
        """Set switches of the API: see infra/simcloud/runpod/switches.py."""
        self._ask("POST", "/switches", switches)

    def machine_fault(self, machine_id: str, fault: str) -> None:
        """host_lost, network_cut, network_restored, disk_full or gpu_dead, now."""
        self._ask("POST", f"/machines/{machine_id}/fault", {"fault": fault})

    def boot_log(self, machine_id: str) -> str:
        """What a machine and its host wrote while it booted."""
        return "\n".join(self._ask("GET", f"/machines/{machine_id}/log"))

    def advance(self, seconds: float) -> None:
        """Let time go by for the bill, the machines, and every command and driver."""
        self._ask("POST", "/clock", {"advance_s": seconds})

    def hurrying(self, step_s: float = 5.0) -> AbstractContextManager[None]:
        """Let half a minute or so go by in each second, where a story only waits for proofs."""
        return hurrying(self.advance, step_s)

    def waits_for_a_machine(self, home_id: str) -> None:
        """Until one lives that this home has asked for."""
        give_up_at = time.monotonic() + 60
        while not self.living(home_id):
            assert time.monotonic() < give_up_at, "nothing was rented"
            time.sleep(0.01)

    def waits_for(self, machine_id: str, *, ended_by: str, step_s: float = 0.0) -> dict[str, Any]:
        """The machine's record once it has ended; `step_s` goes by between two looks."""
        give_up_at = time.monotonic() + 60
        while True:
            (machine,) = (one for one in self.machines() if one["id"] == machine_id)
            if machine["ended_at"] is not None:
                assert machine["ended_by"] == ended_by, machine
                return machine
            assert time.monotonic() < give_up_at, f"it goes on: {machine}"
            self.advance(step_s)
            time.sleep(0.25)

    def says_go(self, run_id: str) -> None:
        """Programs that wait for a word (jobs.WAITS) go on."""
        Path(self.env["GPULEASE_CLOCK"]).with_name(run_id).touch()

    def now_s(self) -> float:
        """The time that everybody shares."""
        return float(self._ask("GET", "/clock")["now_s"])

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        reply = self._control.request(method, path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()
