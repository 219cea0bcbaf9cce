"""`make demo`: the whole job on a simulated cloud, then the cloud's own records beside the receipt.

It fails unless both agree, every machine was ended through the API, and the model has learned.

It cannot spend anything: keys and addresses of the caller's environment are dropped, and every
provider is a loopback server started here. Without an sshd the job runs on this computer.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.request import urlopen

from infra.pip_to_uv import uv_environment

FOLDER = Path(".demo")
JOB = Path("jobs/quickstart/job.yaml")
_START_S = 60.0
_STOP_S = 30.0
_END_S = 120.0
_LEARNED = 0.3  # above the share of the commonest label
_CREDENTIALS = ("_API_KEY", "_TOKEN", "_ACCESS_KEY", "_ACCESS_KEY_ID")


def main(folder: Path = FOLDER, *, has_sshd: bool | None = None) -> int:
    """Run the demo and give the exit code of `gpulease submit`, or 1 if it is not as promised.

    Args:
        folder: what is made lies there; it is emptied first.
        has_sshd: None looks for one.
    """
    provider = "runpod" if (_has_sshd() if has_sshd is None else has_sshd) else "local"
    if provider == "local":
        print("demo: no sshd here, so the job runs on this computer (--provider local)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    base = bare_environment(os.environ)
    base |= uv_environment(base)
    signal.signal(signal.SIGINT, lambda *_: None)  # the command's own answer to it is shown
    kind = "real" if provider == "runpod" else "memory"
    with simulated_cloud(folder, base, machines=kind) as cloud:
        environment = base | cloud | _home(folder)
        code = _gpulease(environment, "submit", str(JOB), "--provider", provider, "--yes")
        run = last_run(environment)
        if run and not run.ended:
            _gpulease(environment, "cancel", "last", "--now")
            _gpulease(environment, "attach", "last")
            run = last_run(environment)
        if not run:
            return code or 1
        agreed = compare(run, machines(cloud)) if provider != "local" else run.proven
        learned = has_learned(run)
        print(f"\nwhat came home: {run.artifacts_dir}")
    return code or (0 if agreed and learned else 1)


@dataclass(frozen=True, slots=True)
class LastRun:
    """What the receipt says, as far as it is compared."""

    ended: bool
    artifacts_dir: str
    cost_usd: Decimal
    upper_usd: Decimal
    tick_usd: Decimal
    proven: bool
    accuracy: float  # on rows that it was not trained on
    majority: float  # what always saying the commonest label would give


@dataclass(frozen=True, slots=True)
class Rented:
    """One machine in the simulated cloud's own records."""

    machine_id: str
    ended_by: str | None
    billed_usd: Decimal


def bare_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that could reach a real account or another home.

    >>> bare_environment({"PATH": "/bin", "RUNPOD_API_KEY": "real", "GPULEASE_HOME": "/mine"})
    {'PATH': '/bin', 'PYTHON_KEYRING_BACKEND': 'keyring.backends.null.Keyring'}
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("GPULEASE_") and not name.endswith(_CREDENTIALS)
    }
    return kept | {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}


@contextmanager
def simulated_cloud(
    folder: Path, environment: Mapping[str, str], machines: str
) -> Iterator[dict[str, str]]:
    """A cloud on loopback; gives the variables that lead to it, ends it and all its machines.

    Without an sshd its machines can only be thought of (`memory`); its model hub is real.
    """
    state = folder / "cloud"
    log = folder / "cloud.log"
    command = [sys.executable, "-m", "infra.simcloud", "up", "--state", str(state)]
    command += ["--machines", machines, "--providers", "runpod"]
    with log.open("w") as output:
        # A session of its own: Ctrl-C is for the command, which then still needs its cloud.
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, log)
        yield read_exports((state / "env").read_text())
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + _START_S
    while "ready" not in log.read_text().splitlines():
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise SystemExit(f"demo: the simulated cloud did not start: see {log}")
        time.sleep(0.05)


def read_exports(text: str) -> dict[str, str]:
    """The variables of a file of `export NAME=value` lines.

    >>> read_exports("export A='b c'\\nexport D=e")
    {'A': 'b c', 'D': 'e'}
    """
    words = (word for word in shlex.split(text, comments=True) if word != "export")
    return dict(word.split("=", 1) for word in words)


def last_run(environment: Mapping[str, str]) -> LastRun | None:
    """The receipt of the only run in the demo's home, None when there is no run."""
    receipt = subprocess.run(
        [*_COMMAND, "receipt", "last", "--json"],
        env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not receipt.stdout.strip():
        return None
    view = json.loads(receipt.stdout)
    if not view.get("run"):
        return None
    metrics = view["metrics"]
    rates = [Decimal(machine["price_usd_per_hour"]) for machine in view["machines"]]
    return LastRun(
        ended=view["state"] == "ended",
        artifacts_dir=view["artifacts_dir"],
        cost_usd=Decimal(view["cost_usd"]),
        upper_usd=Decimal(view["spent_upper_usd"]),
        tick_usd=max([Decimal("0.01"), *(rate * 2 / 3600 for rate in rates)]),
        proven=bool(view["returned"]["proven"]),
        accuracy=float(metrics.get("eval_accuracy", 0.0)),
        majority=float(metrics.get("majority_class_accuracy", 1.0)),
    )


def machines(cloud: Mapping[str, str]) -> list[Rented]:
    """Every machine that the simulated cloud ever rented."""
    with urlopen(f"{cloud['SIMCLOUD_URL']}/machines", timeout=10) as reply:
        listed = json.load(reply)
    return [
        Rented(str(one["id"]), one["ended_by"], Decimal(str(one["billed_usd"]))) for one in listed
    ]


def compare(run: LastRun, rented: list[Rented]) -> bool:
    """Print the cloud's side; false when it is not what the receipt says."""
    billed_usd = sum((one.billed_usd for one in rented), Decimal(0))
    print("\nthe simulated cloud's own records:")
    for one in rented:
        print(f"  machine {one.machine_id}: ended by {one.ended_by}, billed ${one.billed_usd}")
    all_ended = all(one.ended_by == "api" for one in rented)
    same_bill = abs(billed_usd - run.cost_usd) <= run.tick_usd
    if not all_ended:
        print("demo: a machine was not ended through the API: it runs on, or had to end itself")
    if not same_bill:
        print(f"demo: the receipt says ${run.cost_usd}, the cloud billed ${billed_usd}")
    is_bounded = billed_usd <= run.upper_usd
    if not is_bounded:
        print(f"demo: at most ${run.upper_usd} by the receipt, and the cloud billed ${billed_usd}")
    return run.proven and all_ended and same_bill and is_bounded


def has_learned(run: LastRun) -> bool:
    """Print how well unseen tickets are sorted; false when that is not far above no skill."""
    print(f"\nof tickets it never saw, {run.accuracy:.0%} are sorted right;", end=" ")
    print(f"always the commonest label: {run.majority:.0%}")
    learned = run.accuracy >= run.majority + _LEARNED
    if not learned:
        print(f"demo: that is less than {_LEARNED:.0%} above the commonest label")
    return learned


_COMMAND = (sys.executable, "-m", "orchestrator")


def _gpulease(environment: Mapping[str, str], *arguments: str) -> int:
    print("$ gpulease " + shlex.join(arguments), flush=True)
    process = subprocess.Popen([*_COMMAND, *arguments], env=dict(environment))
    limit_s = None if arguments[0] == "submit" else _END_S
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return 1


def _home(folder: Path) -> dict[str, str]:
    config = folder / "config.toml"
    config.touch(mode=0o600)
    return {
        "GPULEASE_HOME": str((folder / "home").resolve()),
        "GPULEASE_CONFIG": str(config.resolve()),
    }


def _has_sshd() -> bool:
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


if __name__ == "__main__":
    sys.exit(main())
