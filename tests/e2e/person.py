"""Somebody who types `gpulease …` in a terminal, with a home and a folder of their own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.store.home import open_home

COMMAND = (sys.executable, "-m", "orchestrator")
ENDS_S = 90.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer


def waits_until(is_so: Callable[[], object], limit_s: float = ENDS_S) -> None:
    """Look again and again until it is so."""
    give_up_at = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to be"
        time.sleep(0.05)


class Person:
    """`place` holds their home, their config file and the folder in which they work."""

    def __init__(self, place: Path, environment: Mapping[str, str]) -> None:
        self.home = place / "home"
        self.desk = place / "desk"
        self.desk.mkdir(parents=True, exist_ok=True)
        config = place / "config.toml"
        config.touch(mode=0o600)
        self.config = config
        self.command: Sequence[str] = COMMAND
        self.env = {
            **environment,
            "GPULEASE_HOME": str(self.home),
            "GPULEASE_CONFIG": str(config),
            "COLUMNS": "100",
        }

    @property
    def home_id(self) -> str:
        """As it stands in the labels of this home's machines."""
        return open_home(self.home).id

    def writes(self, name: str, text: str) -> Path:
        """A file on the desk."""
        path = self.desk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def types(self, *arguments: str, stdin: str = "", limit_s: float = ENDS_S) -> Ended:
        """Run `gpulease ARGUMENTS` to its end; there is no terminal."""
        with self.starts(*arguments) as process:
            try:
                out, err = process.communicate(stdin, limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise AssertionError(
                    f"it did not end:\n{out}\n{err}\n{self.driver_log()}"
                ) from None
        return Ended(process.returncode, out, err)

    def ends(self, process: subprocess.Popen[str], limit_s: float = ENDS_S) -> Ended:
        """What a command that was started says until its end."""
        out, err = process.communicate(timeout=limit_s)
        return Ended(process.returncode, out, err)

    @contextmanager
    def starts(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Begin `gpulease ARGUMENTS`; it is ended with the block at the latest."""
        process = subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.desk,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def view(self, run: str = "last") -> dict[str, Any]:
        """The run as `gpulease show --json` gives it, whatever its exit code."""
        return self.types("show", run, "--json").json()

    def submits(self, job: str, *options: str) -> str:
        """`gpulease submit --detach`; gives the run's id."""
        ended = self.types(
            "submit", job, "--yes", "--detach", "--ephemeral-keys", "--json", *options
        )
        assert ended.code == 0, ended.err + self.driver_log()
        return str(ended.json()["run"])

    def state(self) -> str:
        """State of the newest run, straight from the store in a millisecond; empty before it."""
        store = f"file:{self.home / 'gpulease.sqlite'}?mode=ro"
        query = "SELECT state FROM runs ORDER BY created_s DESC LIMIT 1"
        try:
            with closing(sqlite3.connect(store, uri=True, timeout=10)) as connection:
                found = connection.execute(query).fetchone()
        except sqlite3.OperationalError:  # it is being made
            return ""
        return str(found[0]) if found else ""

    def waits_for_state(self, state: str, limit_s: float = ENDS_S) -> None:
        """Look at the store until the newest run is in this state."""
        give_up_at = time.monotonic() + limit_s
        while (now := self.state()) != state:
            assert time.monotonic() < give_up_at, f"{now}, never {state}\n{self.driver_log()}"
            time.sleep(0.005)

    def waits(
        self, is_so: Callable[[dict[str, Any]], object], limit_s: float = ENDS_S
    ) -> dict[str, Any]:
        """Look at the last run until it is so."""
        give_up_at = time.monotonic() + limit_s
        while True:
            view = self.view()
            if is_so(view):
                return view
            assert time.monotonic() < give_up_at, (
                f"it never came to be: {view}\n{self.driver_log()}"
            )
            time.sleep(0.1)

    def driver_ids(self) -> list[int]:
        """Processes that drive this home."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if b"driver" in words and str(self.home).encode() in words:
                        found.append(int(entry.name))
        return found

    def kills_driver(self) -> None:
        """SIGKILL, and wait until it is gone."""
        for number in self.driver_ids():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        give_up_at = time.monotonic() + 10
        while self.driver_ids():
            assert time.monotonic() < give_up_at, "the driver does not die"
            time.sleep(0.01)

    def puts_to_sleep(self) -> None:
        """What a closed laptop does to the driver."""
        for number in self.driver_ids():
            os.kill(number, signal.SIGSTOP)

    def wakes_up(self) -> None:
        for number in self.driver_ids():
            os.kill(number, signal.SIGCONT)

    def driver_log(self) -> str:
        path = self.home / "driver.log"
        return path.read_text() if path.exists() else "(no driver ever started)"
