"""A machine's seconds that are not the user's: before the first line, and after the last one.

Ours is `gpulease submit` of a job of own code, which also pins the host key, proves the guard and
verifies what comes home. The yardstick is what a person writes by hand for a machine of the same
image and is told its port beforehand: `ssh` until it answers, `tar` through it, `ssh` once more.
All times are readings of one clock: the machines are this computer's own.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from infra.demo import bare_environment
from infra.pip_to_uv import uv_environment
from orchestrator.remote.keys import make_key_pair
from tests.benchmarks.ratio import Row, Unmeasured, unmeasured
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person

RUNS = 5
FIRST_LINE_LIMIT = 2
AFTER_END_LIMIT_S = 2
_BOOT_S = 120.0
_LOOK_S = 0.005
_FIRST_LINE = "sshd's first accept → first line of the user's command"
_AFTER_END = "billed between the program's end and the delete call, beyond the transfer"

JOB = """\
kind: finetune
name: seconds
code: {path: trainer, command: sh work.sh}
gpu: {allow_cpu: true}
budget: {max_cost: 1.00, max_duration: 30m}
providers: [runpod]
"""
# Its first and its last act say when they were; in between it works, and leaves 32 MiB.
WORK = """\
date +%s.%N >"$GPULEASE_OUTPUT/began"
sleep 4
head -c 33554432 /dev/urandom >"$GPULEASE_OUTPUT/model.bin"
date +%s.%N >"$GPULEASE_OUTPUT/ended"
"""
BY_HAND = """\
set -eu
machine() {
  ssh -F /dev/null -i "$KEY" -p "$PORT" -l "$LOGIN" -o LogLevel=ERROR \\
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1 "$@"
}
until machine true 2>/dev/null; do sleep 0.2; done
tar -C "$FOLDER" -cf - . | machine 'mkdir -p job/output && tar -C job -xf -'
machine 'cd job && export GPULEASE_OUTPUT=$PWD/output
  nohup sh work.sh >log.txt 2>&1 </dev/null &'
until machine test -s job/output/ended; do sleep 0.2; done
mkdir "$HOME_FOLDER"
date +%s.%N >"$HOME_FOLDER/pulling"
machine 'tar -C job/output -cf - .' | tar -C "$HOME_FOLDER" -xf -
date +%s.%N >"$HOME_FOLDER/pulled"
"""


def rows() -> Iterator[Row | Unmeasured]:
    if shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        yield from unmeasured("sshd is not installed", _FIRST_LINE, _AFTER_END)
        return
    counted = _turns()[1:]
    yield Row(
        _FIRST_LINE,
        median(first_s for (first_s, _), _ in counted),
        median(first_s for _, (first_s, _) in counted),
        "s",
        FIRST_LINE_LIMIT,
        "`ssh` + `tar` by hand",
    )
    yield Row(
        _AFTER_END,
        median(after_s - transfer_s for (_, after_s), (_, transfer_s) in counted),
        None,
        "s",
        AFTER_END_LIMIT_S,
    )


def _turns() -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """What `_by_gpulease` and `_by_hand` measured, turn by turn."""
    base = bare_environment(os.environ)
    base |= uv_environment(base)
    with tempfile.TemporaryDirectory(prefix="gpulease-bench-") as place:
        folder = Path(place)
        cloud = Cloud(folder / "cloud", base)
        person = Person(folder, base | cloud.env)
        try:
            person.writes("seconds.yaml", JOB)
            _write_code(person)
            return [(_by_gpulease(cloud, person), _by_hand(cloud, person)) for _ in range(RUNS + 1)]
        finally:
            person.kills_driver()
            cloud.close()


def _write_code(person: Person) -> None:
    """One MiB in forty files beside the program."""
    person.writes("trainer/work.sh", WORK)
    source = random.Random(1)
    for number in range(40):
        person.writes(f"trainer/library/part{number}.py", f"# {source.randbytes(13_000).hex()}\n")


def _by_gpulease(cloud: Cloud, person: Person) -> tuple[float, float]:
    """Seconds to the first line, and from the last one to the delete call."""
    known = {machine["id"] for machine in cloud.machines()}
    with Knocking(lambda: _new_port(cloud, known)) as sshd:
        ended = person.types("submit", "seconds.yaml", "--yes", "--json")
    assert ended.code == 0, ended.err + person.driver_log()
    view = ended.json()
    home = Path(view["artifacts_dir"])
    machine_id = view["machines"][0]["id"]
    deleted_s = min(
        call["at"] for call in cloud.calls("DELETE") if call["path"].endswith(f"/{machine_id}")
    )
    return _time(home, "began") - sshd.answered_s, deleted_s - _time(home, "ended")


def _by_hand(cloud: Cloud, person: Person) -> tuple[float, float]:
    """Seconds to the first line, and of bringing the same bytes home."""
    api = cloud.env["GPULEASE_RUNPOD_URL"]
    headers = {"Authorization": f"Bearer {cloud.env['RUNPOD_API_KEY']}"}
    with tempfile.TemporaryDirectory() as place:
        keys = make_key_pair(Path(place) / "keys")
        body = {
            "name": "by-hand",
            "image": "runpod/pytorch",
            "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
            "cloud": "SECURE",
            "disk": 20,
            "ports": ["22/tcp"],
            "startSsh": True,
            "env": {"PUBLIC_KEY": keys.public_line},
        }
        made = httpx.post(f"{api}/pods", json=body, headers=headers, trust_env=False)
        assert made.status_code == 201, made.text
        machine_id = made.json()["id"]
        port = next(one["ssh_port"] for one in cloud.machines() if one["id"] == machine_id)
        settings = {
            "KEY": str(keys.private_path),
            "PORT": str(port),
            "LOGIN": cloud.env["GPULEASE_RUNPOD_SSH_USER"],
            "FOLDER": str(person.desk / "trainer"),
            "HOME_FOLDER": f"{place}/home",
        }
        with Knocking(lambda: port) as sshd:
            subprocess.run(["sh", "-c", BY_HAND], env=person.env | settings, check=True)
        httpx.delete(f"{api}/pods/{machine_id}", headers=headers, trust_env=False)
        home = Path(place) / "home"
        return (
            _time(home, "began") - sshd.answered_s,
            _time(home, "pulled") - _time(home, "pulling"),
        )


class Knocking:
    """Connects to a port, once it is known, until an sshd says its name there."""

    def __init__(self, port: Callable[[], int | None]) -> None:
        self.answered_s = 0.0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._knock)

    def __enter__(self) -> Knocking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Until it answered, or nobody waits for it any more."""
        self._thread.join()

    def _knock(self) -> None:
        port = None
        give_up_at = time.monotonic() + _BOOT_S
        while not self._stop.wait(_LOOK_S) and time.monotonic() < give_up_at:
            port = port or self._port()
            with suppress(OSError):
                if port and _banner(port).startswith(b"SSH-"):
                    self.answered_s = time.time()
                    return


def _banner(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        return connection.recv(64)


def _new_port(cloud: Cloud, known: set[str]) -> int | None:
    new: list[dict[str, Any]] = [one for one in cloud.machines() if one["id"] not in known]
    return new[0]["ssh_port"] if new else None


def _time(home: Path, name: str) -> float:
    found = next(home.rglob(name))
    return float(found.read_text())
