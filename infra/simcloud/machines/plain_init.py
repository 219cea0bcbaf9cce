"""First process of a machine without namespaces: outlives its command, ends with all of it.

    python plain_init.py COMMAND…

It adopts every process that its descendants leave behind, so that none escapes when it is told
to end, by a signal or by the death of the simulated cloud. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PAUSE_S = 0.005


def main(command: list[str]) -> int:
    """Run `command`; when it ends or a signal comes, kill what is left."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no child subreaper here")
    signal.signal(signal.SIGTERM, _stop)
    code = 143
    try:
        with suppress(_Stopped):
            code = _reap_until(subprocess.Popen(command).pid)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_descendants()
    return code


class _Stopped(Exception):
    """SIGTERM came."""


def _stop(number: int, frame: object) -> None:
    # The kernel sends one for each dying thread of a killed parent.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def _reap_until(pid: int) -> int:
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _kill_descendants() -> None:
    """Children first die, then what they leave becomes ours: until there is none."""
    while True:
        for pid in _descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            # Looks again soon although nobody ended: a process may have hidden behind a dying one.
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(_PAUSE_S)
        except ChildProcessError:
            return


def _descendants() -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(stat[1])
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
