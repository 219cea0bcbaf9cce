"""What every test shares: no real keys, one seed, and tests that must be asked for."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

LIVE = os.environ.get("GPULEASE_LIVE") == "1"
_CREDENTIALS = ("_API_KEY", "_TOKEN", "_ACCESS_KEY", "_ACCESS_KEY_ID")

settings.register_profile("same-every-time", derandomize=True, deadline=None, database=None)
settings.load_profile("same-every-time")


def pytest_configure() -> None:
    """A test sees neither the developer's keys nor the developer's home."""
    # A shell's background job ignores Ctrl-C, and so would every command that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if LIVE:
        return
    for name in list(os.environ):
        if name.startswith("GPULEASE_") or name.endswith(_CREDENTIALS):
            del os.environ[name]
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"


@pytest.fixture(scope="session")
def official_client() -> Callable[[str], Path]:
    """Gives a Python that has a provider's own client, as `package==version`.

    A computer without an index skips what needs it; where CI is set a missing witness is an error.
    """
    from infra.program_environment import package_python

    def install(requirement: str) -> Path:
        try:
            return package_python(requirement)
        except subprocess.CalledProcessError as error:
            missing = f"{requirement} cannot be installed here: {error}"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)

    return install


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    not_live = pytest.mark.skip(reason="rents for real money; GPULEASE_LIVE=1 runs it")
    not_root = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("live") and not LIVE:
            item.add_marker(not_live)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(not_root)
