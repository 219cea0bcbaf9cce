"""A machine that is a folder of this computer."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.errors import AgentFault, Unreachable
from orchestrator.remote.child import CHUNK_BYTES, Child, Patience, Stalled, converse
from orchestrator.remote.paths import checked, shown
from orchestrator.remote.shell import Reply
from orchestrator.remote.transfer import refusal, unpack

OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIAL", re.IGNORECASE)


class FolderShell:
    """A `Shell` over a local folder, made (0700) when missing."""

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is what commands see; by default this process's, without credentials."""
        self._path = path
        self._environment = dict(
            without_secrets(os.environ) if environment is None else environment
        )

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        child = self._start(["sh", "-c", command])
        patience = Patience(timeout_s)
        try:
            stdout = converse(child, stdin, patience, limit_bytes=OUTPUT_LIMIT_BYTES)
            exit_code = child.end(patience)
        except Stalled as error:
            raise Unreachable(f"A command did not end within {timeout_s:g} s.") from error
        finally:
            child.kill()
        return Reply(exit_code, stdout, bytes(child.stderr))

    def read(self, path: str, offset: int, limit: int) -> bytes:
        try:
            with self._file(path).open("rb") as file:
                file.seek(offset)
                return file.read(min(limit, OUTPUT_LIMIT_BYTES))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return b""
        except OSError as error:
            raise refusal(f"{shown(path)} cannot be read", str(error.strerror)) from error

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        target = self._file(path)
        unfinished = target.with_name(f".gpulease.{secrets.token_hex(8)}")
        try:
            self._make_folder()
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(file.fileno(), mode)
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(target)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise refusal(f"{shown(path)} cannot be written", str(error.strerror)) from error

    def push(self, stream: Iterable[bytes]) -> None:
        unpack(self._start(["tar", "-x", "-f", "-"]), stream)

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        try:
            with self._file(path).open("rb") as file:
                file.seek(offset)
                left_bytes = size_bytes - offset
                while left_bytes > 0 and (data := file.read(min(left_bytes, CHUNK_BYTES))):
                    left_bytes -= len(data)
                    yield data
        except OSError as error:
            raise AgentFault(f"{shown(path)} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held open."""

    def _start(self, argv: list[str]) -> Child:
        try:
            self._make_folder()
            return Child(
                argv,
                folder=self._path,
                environment=self._environment,
                stderr_limit_bytes=OUTPUT_LIMIT_BYTES,
            )
        except OSError as error:
            raise refusal(f"{self._path} cannot be used", str(error.strerror)) from error

    def _make_folder(self) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _file(self, path: str) -> Path:
        return self._path / checked(path)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without the variables whose names speak of credentials.

    >>> without_secrets({"PATH": "/bin", "RUNPOD_API_KEY": "x", "HF_TOKEN": "y"})
    {'PATH': '/bin'}
    """
    return {name: value for name, value in environment.items() if not _SECRET_NAME.search(name)}
