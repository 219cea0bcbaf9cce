"""Where the story of our own faults goes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orchestrator import __version__
from orchestrator.clock import SystemClock, to_iso
from orchestrator.errors import GpuleaseError


def write_crash(home: Path | None, text: str) -> str:
    """Write `text` below the home's logs/, else into a temporary file; mode 0600.

    Returns: the file's path, or words that say why there is none.
    """
    at = to_iso(SystemClock().now_s())
    content = f"gpulease {__version__} at {at}\n{text}"
    name = f"crash-{at.replace(':', '')}-{os.getpid()}.txt"
    try:
        from orchestrator.settings import load_settings

        folder = load_settings(home).home / "logs"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except (OSError, GpuleaseError):
        try:
            descriptor, temporary = tempfile.mkstemp(prefix="gpulease-crash-", suffix=".txt")
        except OSError as error:
            return f"no file ({error})"
        path = Path(temporary)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(content)
    return str(path)
