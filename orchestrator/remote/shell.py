"""What can be done on a machine, whoever rented it. `ssh.py` and `folder.py` do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """How a command on the machine ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Shell(Protocol):
    """One open connection to one machine. Not for several threads at once.

    Every path is relative to the machine's work folder (`$HOME/gpulease/<label>` over SSH, the
    machine's own folder on this computer), where every command runs too. Everything that comes
    back is untrusted. All methods raise `Unreachable` when the connection is lost; the caller
    opens another one.
    """

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        """Run `command` by POSIX sh in the work folder (made when missing) and wait for its end.

        stdout and stderr are cut at 16 MiB each. A command that detaches something must
        redirect all three descriptors.
        """

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of a file from `offset`; empty when absent or at its end."""

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace a small file atomically (temporary name, fsync, rename)."""

    def push(self, stream: Iterable[bytes]) -> None:
        """Unpack one uncompressed tar stream into the work folder (one bulk connection).

        It takes as long as bytes move: many gigabytes over a slow line are no fault.
        """

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        """Bytes `offset` to `size_bytes` of one file, in order, over the bulk connection.

        Ends early (without an error) when the file is shorter. The bulk connection is kept for
        the next call.
        """

    def close(self) -> None:
        """Close every connection; safe to repeat."""
