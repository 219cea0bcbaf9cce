"""`python -m infra.simcloud up --state DIR`: a cloud on this computer until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from infra.simcloud.cloud import PROVIDERS, SimCloud
from infra.simcloud.machines import NotPossible


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    arguments = _parser().parse_args()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with SimCloud(
            state=arguments.state,
            machines=arguments.machines,
            speed=arguments.speed,
            seed=arguments.seed,
            boot_s=arguments.boot_s,
            providers=tuple(arguments.providers.split(",")),
            hub=not arguments.no_hub,
        ) as cloud:
            print(f"simcloud: {cloud.url}, environment in {cloud.state / 'env'}")
            print("ready", flush=True)
            stopping.wait()
    except (NotPossible, ValueError) as problem:
        print(f"simcloud: {problem}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.simcloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start, print `ready`, and serve until SIGTERM")
    up.add_argument("--state", type=Path, required=True, help="folder for env, clock and log")
    up.add_argument("--speed", type=float, default=1.0, help="divides boots, lags, fault delays")
    up.add_argument("--seed", type=int, default=0, help="ids, keys and places")
    up.add_argument("--boot-s", type=float, default=2.0, help="seconds until a machine runs")
    up.add_argument("--providers", default=",".join(PROVIDERS), help="comma separated")
    up.add_argument("--machines", choices=("real", "plain", "memory"), default="real")
    up.add_argument("--no-hub", action="store_true", help="no Hugging Face hub")
    return parser


if __name__ == "__main__":
    sys.exit(main())
