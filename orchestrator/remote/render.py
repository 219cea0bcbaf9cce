"""What is rendered for the machine: the boot guard, and the agent as one file."""

from __future__ import annotations

import io
import re
import zipfile
from functools import cache
from pathlib import Path

from orchestrator.spec.packaged import packaged

GUARD_LIMIT_BYTES = 3000

_AGENT = Path(__file__).resolve().parent.parent / "agent"
_AGENT_PACKAGE = "gpulease_agent"
_AGENT_MAIN = f"import sys\nfrom {_AGENT_PACKAGE}.main import main\nsys.exit(main(sys.argv[1:]))\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can say


def boot_guard(
    label: str,
    created_s: int,
    deadline_s: int,
    seconds: int,
    ways: str = "runpod",
    *,
    tick_s: float = 5,
) -> str:
    """The start command of a machine that ends itself: POSIX sh.

    Args:
        created_s: the label's creation; wall time before it is a clock that was not set.
        deadline_s: the label's deadline; a deadline file may only say an earlier one.
        seconds: how long the machine may live on its uptime clock, whatever the wall clock says.
        ways: which file of `templates/guard_ways` says how this provider's machine ends itself,
            and how a login becomes possible there.
        tick_s: seconds between two looks, and between two tries to end.

    Raises ValueError for a label or ways that no shell text should hold, or a guard that grew
    over GUARD_LIMIT_BYTES.

    >>> boot_guard("gl1-x", 1800000000, 1800003600, 3600).splitlines()[1]
    'w=${HOME:-/root}/gpulease/gl1-x'
    """
    if not re.fullmatch(r"[a-z0-9-]+", label) or not re.fullmatch(r"[a-z0-9_]+", ways):
        raise ValueError(f"not a label and ways: {label!r}, {ways!r}")
    text, texts = guard_texts()
    of_provider, _, start = texts[ways].partition("@START@\n")
    words = {
        "WAYS": of_provider.rstrip("\n"),
        "START": start.rstrip("\n"),
        "LABEL": label,
        "CREATED": str(int(created_s)),
        "DEADLINE": str(int(deadline_s)),
        "SECONDS": str(int(seconds)),
        "TICK": f"{tick_s:g}",
        "PAUSE": f"{12 * tick_s:g}",  # a minute; machines that were asked to end take some seconds
    }
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    lines = (line.strip() for line in text.splitlines())
    guard = "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))
    if len(guard.encode()) > GUARD_LIMIT_BYTES:
        raise ValueError(f"the boot guard has {len(guard.encode())} bytes")
    return guard


@cache
def guard_texts() -> tuple[str, dict[str, str]]:
    """The boot guard's template, and each way in which a provider's machine ends itself."""
    folder = packaged("templates")
    ways = {path.stem: path.read_text() for path in (folder / "guard_ways").glob("*.sh")}
    return (folder / "boot_guard.sh").read_text(), ways


@cache
def agent_zipapp() -> bytes:
    """The agent as one file that any `python3` from 3.8 on runs; the same bytes every time."""
    files = {"__main__.py": _AGENT_MAIN.encode()}
    for path in _AGENT.glob("*.py"):
        files[f"{_AGENT_PACKAGE}/{path.name}"] = path.read_bytes()
    archive = io.BytesIO(b"")
    archive.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as zipped:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            zipped.writestr(entry, data)
    return archive.getvalue()
