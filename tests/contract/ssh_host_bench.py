"""A workstation under the contract suite: its simulator is a loopback sshd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from orchestrator.clock import FakeClock
from orchestrator.providers.base import Provider
from orchestrator.providers.ssh_host import SshHost
from orchestrator.remote.keys import make_key_pair
from orchestrator.spec.resources import Need
from tests.providers.ssh_host.workstation import HOW_A_LINE_BREAKS, Workstation

# What the workstation's Python is asked to do by each call, as a simulator names it.
_DO = {"catalog": "look", "create": "create", "get": "find", "list": "look", "delete": "end"}


class SshHostBench:
    """A computer with GPUs. What breaks is the connection."""

    need = Need(gpu_memory_gib=20)
    faults = frozenset(HOW_A_LINE_BREAKS)
    secret = ""
    asks: Mapping[str, str] = {}

    def __init__(self, state: Path) -> None:
        self._home = state
        self._clock = FakeClock()
        self._workstation = Workstation(state / "workstation")
        self._clients: list[SshHost] = []

    def __enter__(self) -> Self:
        self._workstation.has_gpus(*[0] * 5)
        self._workstation.sshd.start()
        self.provider: Provider = self.with_key("same")
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._workstation.sshd.stop()

    def with_key(self, which: str) -> Provider:
        host = self._workstation.host()
        if which == "wrong":
            host = replace(host, key=make_key_pair(self._home / "wrong").private_path)
        elif which != "same":
            raise NotImplementedError("a workstation has one login")
        self._clients.append(SshHost(host, self._home, clock=self._clock))
        return self._clients[-1]

    def break_next(self, fault: str, **options: float | int | str) -> None:
        self._workstation.breaks_at(_DO[str(options["operation"])], fault)

    def rented(self) -> list[str]:
        return sorted(path.name for path in self._workstation.home.glob("gpulease/*"))

    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)
