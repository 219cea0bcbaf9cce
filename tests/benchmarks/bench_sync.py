"""Bytes to and from a machine over SSH: the first sync, the next one, and what comes home.

The yardsticks are what a person types: `tar | ssh`, rsync, `ssh cat`; all against one sshd of this
computer, in turns. Ours begin where the code was recorded at submit, as the driver's do; what
recording costs has its own row. The next sync goes over the connection that is open already;
rsync has to log in.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from orchestrator.agent import protocol
from orchestrator.lifecycle.snapshot import code_entries, keep_code
from orchestrator.remote import ssh
from orchestrator.remote.bundle import Entry, bytes_entry
from orchestrator.remote.render import agent_zipapp
from orchestrator.remote.sync import read_here, synchronize
from orchestrator.remote.transfer import Login, ssh_command
from tests.benchmarks.ratio import Row, Unmeasured, compare, unmeasured
from tests.lifecycle.jobs import own_code
from tests.remote.loopback_sshd import SSHD, LoopbackSshd

FILES = 10_000
MEAN_BYTES = 6_000
CHANGED = 10
PULLED_BYTES = 512 << 20
RUNS = 3
FIRST_LIMIT, NEXT_LIMIT, PULL_LIMIT = 1.3, 1.0, 1.25  # a rate of 0.8 takes 1.25 times as long
_SETTLED_S = 2.5  # files that are younger are read again
_WORK = "gpulease/bench"
_FIRST = f"first sync of {FILES:,} small files, {MEAN_BYTES * FILES / 1e6:.0f} MB"
_NEXT = f"sync of {CHANGED} changed files of them, the connection being open"
_RECORDING = "recording them at submit, the others shared with the run before"
_PULL = "pull of 512 MiB"


def rows() -> Iterator[Row | Unmeasured]:
    if not Path(SSHD).exists():
        yield from unmeasured("sshd is not installed", _FIRST, _NEXT, _RECORDING, _PULL)
        return
    with tempfile.TemporaryDirectory(prefix="gpulease-bench-") as place:
        bench = Bench(Path(place))
        try:
            yield bench.first()
            yield from bench.next() if shutil.which("rsync") else without_rsync()
            yield bench.pull()
        finally:
            bench.close()


def without_rsync() -> list[Unmeasured]:
    """What is not compared where the yardstick is not there."""
    return unmeasured("rsync is not installed", _NEXT, _RECORDING)


class Bench:
    """A server, a tree of small files, and the commands of a person."""

    def __init__(self, folder: Path) -> None:
        self._job = own_code(folder)
        self._tree = folder / "own"
        self._server = LoopbackSshd(folder / "sshd")
        self._server.start()
        self._key = self._server.login_key.private_path
        self._login = Login(self._server.server, self._key, self._server.host_key)
        self._chance = random.Random(1)
        self._turn = self._copies = 0
        for number in range(FILES):
            path = self._tree / f"d{number % 100}/s{number % 7}/f{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._chance.randbytes(self._chance.randint(0, 2 * MEAN_BYTES)))
        self._record()

    def close(self) -> None:
        self._server.stop()

    def first(self) -> Row:
        ours, by_hand = compare(self._first, self._tar, runs=RUNS)
        return Row(_FIRST, ours, by_hand, "s", FIRST_LIMIT, "`tar \\| ssh`")

    def next(self) -> Iterator[Row]:
        """What changes between two runs: recorded at submit, and sent."""
        shell = self._open(_WORK)
        synchronize(shell, self._recorded(), [protocol.CODE_DIR])
        self._rsync()
        self._rsync_here()
        time.sleep(_SETTLED_S)  # a kept machine has its files read while nothing else is done
        read_here(shell, [protocol.CODE_DIR])
        recording: list[tuple[float, float]] = []

        def again() -> float:
            self._edit()
            recording.append((_timed(self._record), self._rsync_here()))
            return _timed(lambda: synchronize(shell, self._recorded(), [protocol.CODE_DIR]))

        def rsync() -> float:
            self._edit()
            return self._rsync()

        ours, by_hand = compare(again, rsync, runs=RUNS)
        shell.close()
        yield Row(_NEXT, ours, by_hand, "s", NEXT_LIMIT, "`rsync` with its login")
        mine, theirs = (median(column) for column in zip(*recording, strict=True))
        yield Row(_RECORDING, mine, theirs, "s", None, "`rsync --link-dest`")

    def pull(self) -> Row:
        big = self._server.home / _WORK / "big.bin"
        big.parent.mkdir(parents=True, exist_ok=True)
        with big.open("wb") as file:
            for _ in range(PULLED_BYTES >> 20):
                file.write(self._chance.randbytes(1 << 20))
        shell = self._open(_WORK)
        shell.write(protocol.AGENT, agent_zipapp())
        copy = self._tree.parent / "copy.bin"

        def ours() -> float:
            def run() -> None:
                with copy.open("wb") as out:
                    for piece in shell.pull("big.bin", 0, PULLED_BYTES):
                        out.write(piece)

            return _timed(run)

        def by_hand() -> float:
            line = shlex.join([*ssh_command(self._login), f"cat {shlex.quote(str(big))}"])
            return _timed(lambda: _sh(f"{line} >{shlex.quote(str(copy))}"))

        mine, theirs = compare(ours, by_hand, runs=RUNS)
        shell.close()
        return Row(_PULL, mine, theirs, "s", PULL_LIMIT, "`ssh cat`")

    def _first(self) -> float:
        self._turn += 1
        shell = self._open(f"{_WORK}-{self._turn}")
        seconds = _timed(lambda: synchronize(shell, self._recorded(), [protocol.CODE_DIR]))
        shell.close()
        shutil.rmtree(self._server.home / f"{_WORK}-{self._turn}")
        return seconds

    def _tar(self) -> float:
        target = self._server.home / "by-hand"
        folder = shlex.quote(str(target))
        line = shlex.join([*ssh_command(self._login), f"mkdir {folder} && tar -C {folder} -xf -"])
        source = shlex.quote(str(self._tree))
        seconds = _timed(lambda: _sh(f"tar -C {source} -cf - . | {line}"))
        shutil.rmtree(target)
        return seconds

    def _rsync(self) -> float:
        login = ssh_command(self._login)
        through, host = shlex.join(login[:-2]), login[-1]
        argv = [
            "rsync",
            "-a",
            "--delete",
            "-e",
            through,
            f"{self._tree}/",
            f"{host}:{self._server.home}/by-rsync/",
        ]
        return _timed(lambda: subprocess.run(argv, check=True, capture_output=True))

    def _rsync_here(self) -> float:
        """The same copy beside `_record`'s, by rsync."""
        target = self._tree.parent / f"rsync-{self._copies}"
        like = self._tree.parent / f"rsync-{self._copies - 1}"
        argv = ["rsync", "-a", f"--link-dest={like}", f"{self._tree}/", f"{target}/"]
        return _timed(lambda: subprocess.run(argv, check=True, capture_output=True))

    def _edit(self) -> None:
        for number in range(CHANGED):
            path = self._tree / f"d{number % 100}/s{number % 7}/f{number}.txt"
            path.write_bytes(self._chance.randbytes(MEAN_BYTES))

    def _record(self) -> None:
        """What submit does: a copy of the code, which shares what did not change."""
        self._copies += 1
        keep_code(self._copy(), self._job, like=self._copy(before=1) if self._copies > 1 else None)

    def _recorded(self) -> list[Entry]:
        """What the driver sends of the last copy."""
        return [bytes_entry(protocol.AGENT, agent_zipapp()), *code_entries(self._copy())]

    def _copy(self, before: int = 0) -> Path:
        return self._tree.parent / f"run-{self._copies - before}"

    def _open(self, work_dir: str) -> ssh.SshShell:
        return ssh.connect(self._server.server, self._key, self._server.host_key, work_dir, 20.0)


def _timed(act: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s


def _sh(line: str) -> None:
    subprocess.run(["sh", "-c", line], check=True, env=dict(os.environ))
