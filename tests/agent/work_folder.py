"""A work folder in which the packaged agent runs for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.agent import protocol

Event = dict[str, object]

_LIMIT_S = 30.0
_POLL_S = 0.02
# A machine has the package settings of its image; this computer's stand for them.
_SETTINGS = ("PIP_", "UV_", "SSL_CERT")


class WorkFolder:
    """What the driver would do to a machine's work folder, and what it would see there."""

    def __init__(self, path: Path, agent: bytes) -> None:
        path.mkdir(mode=0o700, parents=True)
        (path / protocol.CODE_DIR).mkdir()
        (path / protocol.AGENT).write_bytes(agent)
        self.path = path
        self.home = path.parent
        self.python = sys.executable
        self.clock = path.parent / f"{path.name}.clock"
        self.clock.write_text("0")
        self.started_s = time.time()
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "GPULEASE_CLOCK": str(self.clock),
            **{name: os.environ[name] for name in os.environ if name.startswith(_SETTINGS)},
        }

    def write_run(self, command: str | list[str], **fields: object) -> None:
        """Write a run file: one hour, on the CPU, ended by nobody."""
        deadline_s = self.started_s + 3600
        run = {
            "protocol": protocol.PROTOCOL,
            "run": "runid123",
            "label": "a-label-without-a-deadline",
            "created_at": self.started_s,
            "deadline_at": deadline_s,
            "hold_s": 1800,
            "ends_machine": False,
            "device": "cpu",
            "setup": None,
            "requirements": None,
            "python": "3.11",
            "model": None,
            "command": command,
            "environment": {},
            "checkpoints_every_s": 900,
            "grace_s": 60,
            "log_limit_bytes": 1 << 20,
            **fields,
        }
        (self.path / protocol.RUN_FILE).write_text(json.dumps(run))

    def write_program(self, source: str, **fields: object) -> None:
        """Write a Python program and the run file that runs it."""
        (self.path / protocol.CODE_DIR / "program.py").write_text(source)
        self.write_run(["python", "program.py"], **fields)

    def call(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command of the agent, as the driver does."""
        return subprocess.run(
            [self.python, protocol.AGENT, *arguments],
            cwd=self.path,
            env=dict(environment or self.environment),
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )

    def start(self) -> dict[str, object]:
        """Start the agent; its answer."""
        answer = self.call("start")
        assert not answer.stderr, answer.stderr
        return self._object(answer.stdout)

    def run(self) -> dict[str, object]:
        """Start the agent and wait until the job is over; the exit record."""
        assert self.start()["started"] is True
        self.wait_for("ready")
        return self.record(protocol.EXIT_FILE)

    def make_room(self, run: str) -> None:
        """What the driver does before the next job of a machine whose job is over."""
        (self.path / protocol.FETCHED_FILE).touch()
        cleared = self.call("clear", run)
        assert cleared.returncode == 0, cleared.stderr

    def advance(self, seconds: float) -> None:
        """Let time go by for the agent."""
        new = self.clock.with_suffix(".new")
        new.write_text(str(float(self.clock.read_text()) + seconds))
        new.replace(self.clock)

    def events(self, name: str) -> list[Event]:
        """The events of one name so far."""
        try:
            lines = (self.path / protocol.EVENTS_FILE).read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    def wait_for(self, name: str) -> Event:
        """The first event of a name, waited for."""
        self.until(lambda: bool(self.events(name)), f"event {name}")
        return self.events(name)[0]

    def wait_for_log(self, text: str) -> None:
        """Wait until the program has printed something."""
        self.until(lambda: text in self.log(), f"{text!r} in the log")

    def until(self, claim: Callable[[], bool], what: str) -> None:
        """Wait until `claim` holds; fails with the agent's own words when it never does."""
        give_up_s = time.monotonic() + _LIMIT_S
        while not claim():
            if time.monotonic() > give_up_s:
                raise AssertionError(f"waited in vain for {what}\n{self._state()}")
            time.sleep(_POLL_S)

    def log(self) -> str:
        """The log so far."""
        try:
            return (self.path / protocol.LOG_FILE).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def record(self, name: str) -> dict[str, object]:
        """A JSON file of the folder."""
        return self._object((self.path / name).read_bytes())

    def manifest(self) -> dict[str, dict[str, object]]:
        """The manifest's files by path, in its order."""
        files = self.record(protocol.MANIFEST_FILE)["files"]
        assert isinstance(files, list)
        return {file["path"]: file for file in files}

    def agent_pid(self) -> int:
        """The daemon's pid."""
        return int((self.path / protocol.PID_FILE).read_text())

    def agent_is_alive(self) -> bool:
        """Whether the daemon lives, by its own word."""
        return self._object(self.call("guard-status").stdout)["agent_alive"] is True

    def _state(self) -> str:
        said = {}
        for name in (protocol.EVENTS_FILE, protocol.LOG_FILE, protocol.STDERR_FILE):
            path = self.path / name
            said[name] = path.read_text(errors="replace")[-3000:] if path.exists() else ""
        return "\n".join(f"--- {name}\n{text}" for name, text in said.items())

    @staticmethod
    def _object(data: bytes) -> dict[str, object]:
        value = json.loads(data)
        assert isinstance(value, dict)
        return value


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
