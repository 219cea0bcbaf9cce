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
from orchestrator.lifecycle.driver import tell_driver

_STARTS_S = 20.0


def call_driver(
    folder: Path,
    clock: Clock,
    *,
    keys: dict[str, str],
    hidden: set[str],
    nudge: str,
    is_over: Callable[[], bool],
) -> None:
    """Make sure that one driver of the home lives, and hand it keys and a nudge.

    Args:
        hidden: names that its environment must not hold: keys reach it by its socket alone.
        is_over: whether what the driver is wanted for has ended meanwhile.

    Raises: HomeError when it does not start.
    """
    if tell_driver(folder, keys=keys, nudge=nudge):
        return
    _start(folder, hidden)
    never = threading.Event()
    until_s = clock.elapsed_s() + _STARTS_S
    while clock.elapsed_s() < until_s:
        if tell_driver(folder, keys=keys, nudge=nudge) or is_over():
            return
        clock.wait(never, 0.1)
    raise HomeError("the background driver does not start", hint=f"see {folder / 'driver.log'}")


def _start(folder: Path, hidden: set[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-m", "orchestrator", "--home", str(folder), "driver"]
    with (folder / "driver.log").open("ab") as log:
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
