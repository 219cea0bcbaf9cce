"""The last words of a machine that did not come up, or fell, kept at home for the person."""

from __future__ import annotations

from orchestrator.errors import GpuleaseError
from orchestrator.lifecycle.world import World
from orchestrator.providers.base import BootLog
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run

_MOST_CHARACTERS = 200_000


def keep_boot_log(run: Run, world: World, lease: Lease) -> Run:
    """The run with a note of where the log lies; as it was, where there is none to be had.

    To be asked for before the machine is: with it the provider forgets its log.
    """
    provider = world.accounts.provider(lease.provider)
    if not isinstance(provider, BootLog) or lease.machine_id is None:
        return run
    try:
        text = provider.boot_log(lease.machine_id)
    except GpuleaseError:
        return run
    if not text.strip():
        return run
    path = world.cargo.folder(run) / f"boot-{lease.machine_id}.log"
    try:
        path.write_bytes(text[-_MOST_CHARACTERS:].encode("utf-8", "replace"))
    except OSError:
        return run
    return run.note(f"its boot log is kept: {path}")
