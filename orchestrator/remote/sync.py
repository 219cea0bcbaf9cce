"""Sends what a machine does not have yet: by a manifest of what is there, cut files continued."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.errors import SpecError
from orchestrator.remote.bundle import Entry, bundle
from orchestrator.remote.script import last_words
from orchestrator.remote.shell import Shell
from orchestrator.remote.transfer import refusal

WORTH_CONTINUING_BYTES = 8 << 20
_HASH_S = 900.0  # a hundred gigabytes of a cut transfer
_BLOCK_BYTES = 1 << 20
_NO_AGENT = 77


@dataclass(frozen=True, slots=True)
class Here:
    """One file or link on the machine. Untrusted: it says what to leave out, never what to do."""

    mode: str  # 644 | 755 | link
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be sent, and what is there and not wanted."""

    send: tuple[Entry, ...]
    drop: tuple[str, ...]


def synchronize(
    shell: Shell,
    entries: Iterable[Entry],
    folders: Collection[str] = protocol.SENT_DIRS,
    keep_going: Callable[[], None] = lambda: None,
) -> Difference:
    """Make `folders` of the machine hold exactly their `entries`; others are sent as they are.

    A machine without an agent has nothing: it is sent everything, in one stream. On any other the
    files that it has are not sent again, and of a large one that was cut only the rest.

    Raises: RemoteError, SpecError; whatever `keep_going` raises, between two pieces.
    """
    wanted = list(entries)
    found = difference(wanted, read_here(shell, folders))
    if found.drop:
        names = json.dumps(found.drop).encode("ascii")
        reply = shell.run(f"python3 {protocol.AGENT} drop", stdin=names, timeout_s=_HASH_S)
        if reply.exit_code != 0:
            raise refusal("Old files cannot be removed", last_words(reply))
    shell.push(_watched(bundle(found.send), keep_going))
    return found


def read_here(shell: Shell, folders: Iterable[str]) -> dict[str, Here]:
    """What the machine has in these folders; nothing where no agent is."""
    asked = f"python3 {protocol.AGENT} here {shlex.join(folders)}"
    asked = f"[ -f {protocol.AGENT} ] || exit {_NO_AGENT}; exec {asked}"
    reply = shell.run(asked, timeout_s=_HASH_S)
    return parse_here(reply.stdout) if reply.exit_code == 0 else {}


def parse_here(data: bytes) -> dict[str, Here]:
    """Rows of HERE; what is cut or odd is left out, and so is sent again."""
    found: dict[str, Here] = {}
    for row in data.split(b"\0")[:-1]:
        parts = row.split(b" ", 3)
        if len(parts) == 4 and parts[2].isdigit() and len(parts[2]) < 18:
            mode, sha256 = parts[0].decode("ascii", "replace"), parts[1].decode("ascii", "replace")
            found[os.fsdecode(parts[3])] = Here(mode, sha256, int(parts[2]))
    return found


def difference(entries: Iterable[Entry], here: dict[str, Here]) -> Difference:
    """What of `entries` is missing among what is `here`, and what is too much there."""
    send: list[Entry] = []
    paths: set[str] = set()
    for entry in entries:
        paths.add(entry.path)
        there = here.get(entry.path)
        if there is None:
            send.append(entry)
        elif (left := _left_of(entry, there)) is not None:
            send.append(left)
    return Difference(tuple(send), tuple(sorted(here.keys() - paths)))


def _left_of(entry: Entry, there: Here) -> Entry | None:
    """What of an entry is to be sent: all of it, its rest, or nothing."""
    if entry.link:
        target = hashlib.sha256(os.fsencode(entry.link)).hexdigest()
        return None if (there.mode, there.sha256) == ("link", target) else entry
    if there.mode != _mode(entry):
        return entry
    if entry.sha256 and entry.sha256 == there.sha256:  # recorded: no look at the file
        return None
    size_bytes = _size_bytes(entry)
    if there.size_bytes == size_bytes:
        return None if there.sha256 == (entry.sha256 or _sha256(entry, size_bytes)) else entry
    can_go_on = WORTH_CONTINUING_BYTES <= there.size_bytes < size_bytes
    if can_go_on and isinstance(entry.content, Path):
        if there.sha256 != _sha256(entry, there.size_bytes):
            return entry
        tail = f"{protocol.TAILS_DIR}/{there.size_bytes}/{entry.path}"
        return replace(entry, path=tail, offset=there.size_bytes)
    return entry


def _mode(entry: Entry) -> str:
    return "755" if entry.mode & 0o111 else "644"


def _size_bytes(entry: Entry) -> int:
    if isinstance(entry.content, bytes):
        return len(entry.content)
    try:
        return entry.content.stat().st_size
    except OSError as error:
        raise SpecError([f"{entry.content}: cannot be read ({error.strerror})"]) from error


def _sha256(entry: Entry, size_bytes: int) -> str:
    """sha256 of the first bytes of an entry."""
    if isinstance(entry.content, bytes):
        return hashlib.sha256(entry.content[:size_bytes]).hexdigest()
    digest = hashlib.sha256()
    left_bytes = size_bytes
    try:
        with entry.content.open("rb") as file:
            while left_bytes and (block := file.read(min(left_bytes, _BLOCK_BYTES))):
                digest.update(block)
                left_bytes -= len(block)
    except OSError as error:
        raise SpecError([f"{entry.content}: cannot be read ({error.strerror})"]) from error
    return digest.hexdigest()


def _watched(stream: Iterator[bytes], keep_going: Callable[[], None]) -> Iterator[bytes]:
    for piece in stream:
        keep_going()
        yield piece
