"""How a rented machine comes to life on this computer, and how it ends.

`namespaces` is the way for root: a root filesystem and process space of its own. `plain` is the
fallback: an sshd of the caller's user. `memory` has no process at all, for suites whose shells
are in memory too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Boot:
    """What a machine starts with."""

    machine_id: str
    argv: tuple[str, ...]  # its first process
    environment: Mapping[str, str]
    gpu_name: str
    gpu_memory_mib: int
    gpu_count: int
    compute_capability: str
    gpu_dead: bool = False
    cuda_version: str = "12.8"  # of the host's driver
    cuda_error: int = 0  # what CUDA says instead of starting, on a GPU that is listed
    disk: int = 1  # the number of its disk: each new one has another host key


class Process(Protocol):
    """The processes of one running machine."""

    sshd: tuple[str, int] | None  # where its sshd listens, behind the relay

    def exit_code(self) -> int | None:
        """How its first process ended; None while it runs."""

    def kill(self) -> None:
        """End every process of it; returns when they are gone."""

    def break_gpu(self) -> None:
        """From now on its GPU cannot be used."""

    def fill_disk(self) -> None:
        """From now on writing below its home fails with ENOSPC."""

    def run(self, script: str, *words: str) -> str:
        """Run a shell script in it, as its provider can; gives what it prints."""


class Backend(Protocol):
    """One way to make machines."""

    kind: str
    user: str  # who logs in
    environment: Mapping[str, str]  # what the image sets, before the provider's own variables

    def start(self, boot: Boot, on_line: Callable[[str], None]) -> Process:
        """Start or restart; `on_line` gets what its first process prints. Returns at once."""

    def wipe(self, machine_id: str, *, keep_volume: bool = False) -> None:
        """Remove its disk, all or all but its volume. It must not run."""

    def close(self) -> None:
        """Give back what all machines shared."""


class NotPossible(Exception):
    """This computer cannot make such machines; the text says why."""
