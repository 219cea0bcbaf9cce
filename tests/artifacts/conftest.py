"""Machines with results on them, and shells that fail on purpose."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.artifacts.manifest import Manifest, parse_manifest
from orchestrator.errors import Unreachable
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.shell import Reply, Shell
from tests.remote.conftest import Machine, machine, own_sshd, shell, ssh_shell, sshd

__all__ = ["machine", "own_sshd", "shell", "ssh_shell", "sshd"]

FILES = {
    "exit.json": b'{"exit_code": 0}',
    "metrics.json": b'{"eval_accuracy": 0.9}',
    "output/model/model.safetensors": bytes(range(256)) * 12_000,
    "output/model/config.json": b"{}",
    "output/empty": b"",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def record_of(path: str, data: bytes, kind: str = "rest") -> dict[str, object]:
    return {"path": path, "size_bytes": len(data), "sha256": sha256(data), "kind": kind}


def manifest_of(files: dict[str, bytes]) -> Manifest:
    records = [record_of(path, data) for path, data in files.items()]
    return parse_manifest(json.dumps({"files": records}).encode(), limit_bytes=10**12)


def home_of(path: str) -> str:
    return path.removeprefix("output/")


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def put_checkpoint(folder: Path, step: int, files: dict[str, bytes]) -> str:
    """A complete checkpoint in a machine's folder, as programs write them."""
    path = f"checkpoints/step-{step}"
    fill(folder / path, files)
    records = [
        {"path": name, "size_bytes": len(data), "sha256": sha256(data)}
        for name, data in files.items()
    ]
    (folder / path / "complete.json").write_text(json.dumps({"step": step, "files": records}))
    return path


@dataclass
class Faulty:
    """A shell that changes what is pulled, file by file, and remembers what was asked for."""

    inner: Shell
    change: Callable[[str, Iterator[bytes]], Iterable[bytes]]
    pulled: list[tuple[str, int]] = field(default_factory=list)

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        return self.inner.run(command, stdin=stdin, timeout_s=timeout_s)

    def read(self, path: str, offset: int, limit: int) -> bytes:
        return self.inner.read(path, offset, limit)

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self.inner.write(path, data, mode=mode)

    def push(self, stream: Iterable[bytes]) -> None:
        self.inner.push(stream)

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        self.pulled.append((path, offset))
        yield from self.change(path, self.inner.pull(path, offset, size_bytes))

    def close(self) -> None:
        self.inner.close()


def cut_after(count: int) -> Callable[[str, Iterator[bytes]], Iterator[bytes]]:
    """Let `count` pieces pass, then lose the connection, once."""
    left = count

    def change(_: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal left
        for piece in pieces:
            if left == 0:
                left = -1
                raise Unreachable("cut")
            left -= 1
            yield piece

    return change


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A home on a disk of 24 MiB, of which 16 are kept for records."""
    home = tmp_path / "home"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no mounts here")
    yield home
    subprocess.run(["umount", "-l", str(home)], check=True)


@pytest.fixture
def folder_machine(tmp_path: Path) -> tuple[FolderShell, Path]:
    """A machine that is a folder with FILES in it."""
    folder = tmp_path / "machine"
    fill(folder, FILES)
    return FolderShell(folder), folder


@pytest.fixture
def filled(machine: Machine, shell: Shell) -> Shell:
    """A shell on a machine (over SSH, and a folder) that has FILES."""
    fill(machine.folder, FILES)
    return shell
