"""`python -m infra.simcloud up --state DIR`: a cloud on this computer until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from infra.simcloud.cloud import PROVIDERS, SimCloud
from infra.simcloud.hub_llama import LLAMA_ID
from infra.simcloud.hub_models import MINILM_ID, TINY_ID
from infra.simcloud.machines import NotPossible

_GUIDE = f"""\
a cloud on this computer until it is told to stop; nothing in it costs anything

  python -m infra.simcloud up --state DIR

and, once it says `ready`, in another terminal:

  . DIR/env                        every provider and the model hub are the simulated ones
  export GPULEASE_HOME=DIR/home    runs of this cloud stay apart from real ones
  gpulease submit jobs/quickstart/job.yaml

Its machines have no GPU: a job needs `gpu: {{allow_cpu: true}}`. Models of its hub:
{MINILM_ID}, {TINY_ID}, {LLAMA_ID} (writes).
"""


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
            machines_ahead_s=arguments.machines_ahead_s,
        ) as cloud:
            print(f"simcloud: {cloud.url}, environment in {cloud.state / 'env'}")
            print("ready", flush=True)
            stopping.wait()
    except (NotPossible, ValueError) as problem:
        print(f"simcloud: {problem}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.simcloud",
        description=_GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start, print `ready`, and serve until SIGTERM")
    up.add_argument("--state", type=Path, required=True, help="folder for env, clock and log")
    up.add_argument("--speed", type=float, default=1.0, help="divides boots, lags, fault delays")
    up.add_argument("--seed", type=int, default=0, help="ids, keys and places")
    up.add_argument("--boot-s", type=float, default=2.0, help="seconds until a machine runs")
    up.add_argument("--providers", default=",".join(PROVIDERS), help="comma separated")
    up.add_argument(
        "--machines",
        choices=("real", "plain", "memory"),
        default="real",
        help="sshd in namespaces (where possible), sshd without, or no processes at all",
    )
    up.add_argument(
        "--machines-ahead-s", type=float, default=0.0, help="by which machines' clocks are ahead"
    )
    up.add_argument("--no-hub", action="store_true", help="no Hugging Face hub")
    return parser


if __name__ == "__main__":
    sys.exit(main())
