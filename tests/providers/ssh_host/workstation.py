"""A workstation: a loopback sshd with a home of its own and a stub of nvidia-smi."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.remote.hosts import Host
from tests.remote.loopback_sshd import LoopbackSshd

L4 = "NVIDIA L4, 23034, {used_mib}, 8.9"
BANNER = "| NVIDIA-SMI 580.65.06   Driver Version: 580.65.06   CUDA Version: 13.0  |"
# What may happen to one call; the next one goes well.
HOW_A_LINE_BREAKS = {
    "unreached": "it is cut before anything is done",
    "reply_lost": "it is cut once everything is done",
    "unreadable": "half of the answer comes",
}
# In the place of its python3, until that is asked for what is to go wrong.
_BREAKER = r"""
import os, re, signal, subprocess, sys
from pathlib import Path


def cut():
    # Every sshd above this process but the one that listens.
    above, pid = [], os.getppid()
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text()
        name, _, rest = stat.partition("(")[2].rpartition(")")
        if name.startswith("sshd"):
            above.append(pid)
        elif above:
            break
        pid = int(rest.split()[1])
    for pid in above[:-1]:
        os.kill(pid, signal.SIGKILL)
    sys.exit(1)


program = sys.stdin.buffer.read()
asked = re.search(rb'"do": "(\w+)"', program.rpartition(b"main(")[2])
how = HOW if asked[1].decode() == DO else ""
if how:
    Path(__file__).unlink()
if how == "unreached":
    cut()
done = subprocess.run([sys.executable, "-I", "-"], input=program, stdout=subprocess.PIPE)
if how == "reply_lost":
    cut()
said = done.stdout
sys.stdout.buffer.write(said[: len(said) // 2] if how == "unreadable" else said)
sys.exit(done.returncode)
"""


class Workstation:
    """Started by `start`; what it gives to a login is under `home`."""

    def __init__(self, folder: Path, clock: Path | None = None) -> None:
        """`clock`: a file with the seconds by which what runs there is ahead of this computer."""
        self._bin = folder / "bin"
        self.clock = clock
        moved = f" GPULEASE_CLOCK={clock}" if clock else ""
        self.sshd = LoopbackSshd(folder, environment=f"PATH={self._bin}:/usr/bin:/bin{moved}")
        self.has_gpus()

    @property
    def home(self) -> Path:
        return self.sshd.home

    def host(self, name: str = "tower") -> Host:
        """As the config file names it."""
        at = self.sshd.server
        key = self.sshd.login_key.private_path
        return Host(name, at.host, at.user, at.port, key, self.sshd.host_key)

    def config(self, name: str = "tower") -> str:
        """Its table of a config file."""
        host = self.host(name)
        return (
            f'[hosts.{name}]\nhost = "{host.address}"\nuser = "{host.user}"\nport = {host.port}\n'
            f'key = "{host.key}"\nhost_key = "{host.host_key}"\n'
        )

    def has_gpus(self, *used_mib: int, soon_mib: int = 0) -> None:
        """From now on it has one L4 for each figure, with so much of its memory in use.

        Args:
            soon_mib: how much more is in use by the time that a machine is to be made.
        """
        rows = [f"GPU-{n}, {L4.format(used_mib=used)}" for n, used in enumerate(used_mib, 1)]
        short = [f"GPU-{n}, {used + soon_mib}" for n, used in enumerate(used_mib, 1)]
        listing = ["NVIDIA L4, 23034 MiB, 580.65.06" for _ in used_mib]
        names = [f"GPU {n}: NVIDIA L4 (UUID: GPU-{n + 1})" for n in range(len(used_mib))]
        self._bin.mkdir(parents=True, exist_ok=True)
        program = self._bin / "nvidia-smi"
        program.write_text(
            f'#!/bin/sh\n[ {len(used_mib)} -gt 0 ] || exit 9\ncase "$*" in\n'
            f"*uuid,name,*) cat <<'END'\n{_lines(rows)}END\n;;\n"
            f"*uuid,memory.used*) cat <<'END'\n{_lines(short)}END\n;;\n"
            f"*query-gpu*) cat <<'END'\n{_lines(listing)}END\n;;\n"
            f"-L) cat <<'END'\n{_lines(names)}END\n;;\n"
            f"*) echo '{BANNER}' ;;\nesac\n"
        )
        program.chmod(0o755)

    def breaks_at(self, do: str, how: str) -> None:
        """The line breaks when its Python is next asked to `do` something, as `how` says."""
        assert how in HOW_A_LINE_BREAKS, how
        program = self._bin / "python3"
        program.write_text(f"#!{sys.executable} -I\nDO, HOW = {do!r}, {how!r}\n{_BREAKER}")
        program.chmod(0o755)

    def processes(self) -> list[int]:
        """Whatever runs there for a machine."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if (entry / "cwd").readlink().is_relative_to(self.home / "gpulease"):
                        found.append(int(entry.name))
        return found

    def reboots(self, *, gently_s: float = 0.0) -> None:
        """Every process ends, files stay.

        Args:
            gently_s: they are told so long before, as a computer does that is shut down.
        """
        if gently_s:
            self._signal(signal.SIGTERM)
            until_s = time.monotonic() + gently_s
            while len(self.processes()) > 1 and time.monotonic() < until_s:
                time.sleep(0.05)  # the agent stays
        self.sshd.stop()
        self._signal(signal.SIGKILL)
        self.sshd.start()

    def _signal(self, number: int) -> None:
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    @contextmanager
    def hanging_at_create(self) -> Iterator[Path]:
        """nvidia-smi does not answer who is about to make a machine; it says so by this file."""
        program = self._bin / "nvidia-smi"
        asked, go = self._bin / "asked", self._bin / "go"
        text = program.read_text()
        hang = f"touch {asked}; while [ ! -e {go} ]; do sleep 0.1; done"
        hang = f'case "$*" in *=uuid,memory.used*) {hang} ;; esac'
        program.write_text(text.replace("#!/bin/sh\n", f"#!/bin/sh\n{hang}\n"))
        yield asked
        go.touch()

    def listing(self) -> set[str]:
        """Every path of its home, with what a file holds."""
        return {
            f"{path.relative_to(self.home)} {path.read_bytes()!r}" if path.is_file() else str(path)
            for path in self.home.rglob("*")
        }


def _lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
