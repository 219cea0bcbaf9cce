"""Everything that a driver will ever use, imported and read at its start.

It may live for days, and an upgrade replaces the files of the version that it is.
"""

from __future__ import annotations

import math
import pkgutil
from importlib import import_module

import orchestrator
from orchestrator.clock import Clock
from orchestrator.lifecycle.world import Again
from orchestrator.providers.ssh_host.mapping import on_host_program
from orchestrator.remote.render import agent_zipapp, guard_texts

_NOT_ITS_OWN = ("agent", "app", "cli", "_data")  # shipped, loaded already, of the command, data
_LIBRARIES = (
    "boto3.session",
    "botocore.config",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "fabric",
    "httpx",
    "huggingface_hub.hf_api",
    "keyring",
    "pathspec",
    "psutil",
    "tenacity",
)


_QUIET_S = 20.0


class Loading:
    """A driver's chore: `load_everything`, once its first runs are under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_s = clock.awake_s() + _QUIET_S

    def go_on(self) -> Again:
        """Load when it is time; nothing stays for it."""
        left_s = self._at_s - self._clock.awake_s()
        if left_s > 0:
            return Again(left_s, stays=False)
        load_everything()
        return Again(math.inf, stays=False)


def load_everything() -> None:
    """Nothing is imported, or read of the package's own files, for the first time after this."""
    for name in (*_LIBRARIES, *_own_modules()):
        import_module(name)
    agent_zipapp()
    guard_texts()
    on_host_program()


def _own_modules() -> list[str]:
    prefix = f"{orchestrator.__name__}."
    found = pkgutil.walk_packages(orchestrator.__path__, prefix, onerror=lambda _: None)
    return [
        module.name
        for module in found
        if module.name.split(".")[1] not in (*_NOT_ITS_OWN, "__main__")
        and ".migrations" not in module.name
    ]
