"""How a command reaches the driver of its home, and starts one when none lives."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.errors import HomeError
from orchestrator.lifecycle.driver_log import LOG_FILE, open_log
from orchestrator.lifecycle.handover import is_older
from orchestrator.lifecycle.talking import Answer, tell_driver

_STARTS_S = 20.0


def call_driver(
    folder: Path,
    clock: Clock,
    *,
    version: str,
    keys: dict[str, str],
    hidden: set[str],
    nudge: str,
    is_over: Callable[[], bool],
) -> None:
    """Make sure that one driver of the home lives, and hand it keys and a nudge.

    A driver of an older version is asked to make room for one of `version`; where that does not
    come to be in time, the old one goes on. A newer one is left alone.

    Args:
        hidden: names that its environment must not hold: keys reach it by its socket alone.
        is_over: whether what the driver is wanted for has ended meanwhile.

    Raises: HomeError when none starts.
    """
    answer = tell_driver(folder, keys=keys, nudge=nudge)
    if answer is not None and not _is_to_be_replaced(answer, version):
        return
    start_driver(folder, hidden)
    never = threading.Event()
    until_s = clock.elapsed_s() + _STARTS_S
    while clock.elapsed_s() < until_s:
        answer = tell_driver(folder, keys=keys, nudge=nudge)
        if (answer is not None and not is_older(answer.version, than=version)) or is_over():
            return
        clock.wait(never, 0.1)
    if answer is None:
        raise HomeError("the background driver does not start", hint=f"see {folder / LOG_FILE}")


def _is_to_be_replaced(answer: Answer, version: str) -> bool:
    return is_older(answer.version, than=version) and not answer.leaves


def start_driver(folder: Path, hidden: set[str]) -> None:
    """Start a driver that is nobody's child; it decides itself whether it is needed."""
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-m", "orchestrator", "--home", str(folder), "driver"]
    with open_log(folder) as log:
        subprocess.run(  # by a shell that ends at once: the driver is nobody's child
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            cwd=folder,
        )
