"""The POSIX sh that works in a machine's folder, whatever carries it there. Pure."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from orchestrator.remote.paths import checked
from orchestrator.remote.shell import Reply

_NO_FOLDER = 125
_WORK_DIR = re.compile(r"(?!-)[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def enter(work_dir: str) -> str:
    """Go to a folder below the login's home, made (0700) when missing.

    Raises: ValueError for anything else: our own mistake.
    """
    if not _WORK_DIR.fullmatch(work_dir) or ".." in work_dir.split("/"):
        raise ValueError(f"{work_dir!r} is no folder below the login's home")
    folder = shlex.quote(work_dir)
    return (
        f'cd -- "$HOME" && {{ [ -d {folder} ] || (umask 077 && mkdir -p -- {folder}); }}'
        f" && cd -- {folder} || exit {_NO_FOLDER}"
    )


def read_file(path: str, offset: int, limit: int) -> str:
    """Print at most `limit` bytes of a file; nothing when it is absent."""
    name = _quoted(path)
    return f"[ -f {name} ] || exit 0; tail -c +{offset + 1} {name} | head -c {limit}"


def write_file(path: str, size_bytes: int, mode: int) -> str:
    """Replace a file by the `size_bytes` that come on stdin."""
    target, folder = _quoted(path), shlex.quote(f"./{Path(checked(path)).parent}")
    # A lost connection looks like the end of stdin: only the full length is renamed.
    return (
        f"umask 077; mkdir -p {folder} && [ ! -d {target} ] "
        f"&& new=$(mktemp {folder}/.gpulease.XXXXXX) || exit 1\n"
        f'if cat >"$new" && [ "$(wc -c <"$new")" -eq {size_bytes} ] && chmod {mode:o} "$new" '
        f'&& {{ sync "$new" 2>/dev/null || sync; }} && mv -f "$new" {target}; then exit 0; fi\n'
        'rm -f "$new"; exit 1'
    )


def last_words(reply: Reply) -> str:
    """The end of what a command said on stderr, untrusted."""
    return reply.stderr[-500:].decode(errors="replace").strip()


def _quoted(path: str) -> str:
    return shlex.quote(f"./{checked(path)}")
