"""Starting processes that die with this one, and reading what they print."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_LONGEST_LINE = 64 * 1024
_SCRIPT_S = 20.0


class Spawner:
    """Starts processes from one thread that lives as long as it.

    A parent-death signal follows the thread that spawned, not the process.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "simcloud-spawner")

    def spawn(
        self, argv: Sequence[str], environment: Mapping[str, str], on_line: Callable[[str], None]
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; `on_line` gets each line of its output."""
        process = self._thread.submit(self._spawn, argv, environment).result()
        threading.Thread(target=_read, args=[process, on_line], daemon=True).start()
        return process

    def close(self) -> None:
        """End the thread: what still runs dies."""
        self._thread.shutdown()

    @staticmethod
    def _spawn(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )


def run_script(
    before: Sequence[str], environment: Mapping[str, str], script: str, words: Sequence[str]
) -> str:
    """What a shell script prints, also where it fails; `before` leads into a machine."""
    done = subprocess.run(
        [*before, "/bin/sh", "-c", script, "sh", *words],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=_SCRIPT_S,
    )
    return done.stdout.decode("utf-8", "replace")


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            # The name in parentheses may hold anything, also spaces.
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[1]) == pid:
            found.append(int(entry.name))
    return found


def _read(process: subprocess.Popen[bytes], on_line: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout as output:
        while line := output.readline(_LONGEST_LINE):
            on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
