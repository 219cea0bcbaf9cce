"""Machines without a process: they count as running, and nobody answers at their address."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping

from infra.simcloud.machines import Boot

_KEY_HEAD = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"


class MemoryBackend:
    """Starts nothing; prints a host key, as a booted machine does."""

    kind = "memory"
    user = "root"
    environment: Mapping[str, str] = {}

    def start(self, boot: Boot, on_line: Callable[[str], None]) -> MemoryProcess:
        on_line("SSH host keys:")
        on_line(host_key(boot.machine_id, boot.disk))
        return MemoryProcess()

    def wipe(self, machine_id: str, *, keep_volume: bool = False) -> None:
        """There is no disk."""

    def close(self) -> None:
        """Nothing was shared."""


class MemoryProcess:
    """Runs until killed."""

    sshd: tuple[str, int] | None = None

    def exit_code(self) -> int | None:
        return None

    def kill(self) -> None:
        """There is no process."""

    def break_gpu(self) -> None:
        """There is no GPU."""

    def fill_disk(self) -> None:
        """There is no disk."""

    def run(self, script: str, *words: str) -> str:
        """There is no shell."""
        return ""


def host_key(machine_id: str, disk: int = 1) -> str:
    """The host key line that a machine without sshd shows: well formed, and of this disk alone.

    >>> host_key("a") == host_key("b"), host_key("a") == host_key("a", 2)
    (False, False)
    """
    blob = _KEY_HEAD + hashlib.sha256(f"{machine_id}/{disk}".encode()).digest()
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} root@{machine_id}"
