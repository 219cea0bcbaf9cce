"""Key pairs of runs, and host keys as lines and fingerprints."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import HomeError

_PRIVATE_NAME = "id_ed25519"
_HOST_KEY = re.compile(
    r"\b(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) +(AAAA[A-Za-z0-9+/]{20,1400}={0,2})"
)
_FINGERPRINT = re.compile(r"(SHA256:[A-Za-z0-9+/]{43})(?![A-Za-z0-9+/])(?:[^\n(]*\((\w+)\))?")
_ED25519 = "ssh-ed25519"
_KINDS = {"ED25519": _ED25519, "RSA": "ssh-rsa"}  # as `ssh-keygen -l` names them


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One run's login: where the private half lies, and the public half as an OpenSSH line."""

    private_path: Path
    public_line: str


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a machine printed about one of its host keys; `line` is empty when only hashed."""

    line: str
    fingerprint: str
    kind: str  # `ssh-ed25519`; empty when the log does not say


def make_key_pair(folder: Path) -> KeyPair:
    """The ed25519 key pair in `folder`, made when there is none; durable when this returns.

    An existing key is used again and never overwritten, so a process that died after making it
    goes on with the same one. Raises: HomeError when it cannot be read or written.
    """
    private_path = folder / _PRIVATE_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not private_path.exists():
            _write_new_key(private_path)
        return KeyPair(private_path, _public_line(private_path))
    except (OSError, ValueError) as error:
        raise HomeError(
            f"The key pair in {folder} cannot be used: {error}",
            hint="look at the folder's owner and mode; a broken key file may be moved away",
        ) from error


def copy_key_pair(source: Path, folder: Path) -> None:
    """Give `folder` the key pair of `source`, where there is one; durable when this returns.

    Raises: HomeError when it cannot be read or written.
    """
    try:
        text = (source / _PRIVATE_NAME).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise HomeError(f"The key pair in {source} cannot be read: {error}") from error
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_key(folder / _PRIVATE_NAME, text)
    except OSError as error:
        raise HomeError(f"The key pair in {folder} cannot be written: {error}") from error


def host_key_line(text: str) -> str:
    """`type base64` of an OpenSSH public key line, without host names and comment.

    Raises: ValueError when there is no such key in `text`.
    """
    if match := _HOST_KEY.search(text):
        _blob(match[2])
        return f"{match[1]} {match[2]}"
    raise ValueError("this is no OpenSSH host key")


def fingerprint(host_key: str) -> str:
    """`SHA256:…` of a host key line, as ssh-keygen prints it."""
    digest = hashlib.sha256(_blob(host_key_line(host_key).split(" ")[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_keys_in(text: str) -> list[HostKey]:
    """Host keys that a boot log shows, in order and once each: whole lines, then bare hashes."""
    found: dict[str, HostKey] = {}
    for match in _HOST_KEY.finditer(text):
        try:
            line = host_key_line(match[0])
            found.setdefault(fingerprint(line), HostKey(line, fingerprint(line), match[1]))
        except ValueError:
            continue
    for match in _FINGERPRINT.finditer(text):
        found.setdefault(match[1], HostKey("", match[1], _KINDS.get(match[2], "")))
    return list(found.values())


def shown_host_key(text: str) -> str:
    """What to pin of a machine with this boot log; empty while it shows no ed25519 host key.

    A line where there is one, else the `SHA256:…` that RunPod's own images print; the newest,
    because a container that starts again may have made another.

    >>> shown_host_key("256 SHA256:" + "a" * 43 + " root@box (ED25519)")[:12]
    'SHA256:aaaaa'
    """
    found = [key for key in host_keys_in(text) if key.kind == _ED25519]
    with_line = [key.line for key in found if key.line]
    return (with_line or [key.fingerprint for key in found] or [""])[-1]


def is_same_key(pinned: str, seen_line: str) -> bool:
    """Whether the key that a server showed is the pinned one (a line, or `SHA256:…`)."""
    if pinned.startswith("SHA256:"):
        return secrets.compare_digest(pinned.rstrip("="), fingerprint(seen_line))
    return secrets.compare_digest(host_key_line(pinned), host_key_line(seen_line))


def _blob(encoded: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("this is no OpenSSH host key") from error
    if len(blob) < 4 or len(blob) < 4 + int.from_bytes(blob[:4], "big"):
        raise ValueError("this is no OpenSSH host key")
    return blob


def _write_new_key(private_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    _write_key(private_path, text)


def _write_key(private_path: Path, text: bytes) -> None:
    folder = private_path.parent
    unfinished = folder / f".{_PRIVATE_NAME}.{secrets.token_hex(8)}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: it fails where another process made the key first.
        os.link(unfinished, private_path)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
    _sync_folders(folder)


def _sync_folders(folder: Path) -> None:
    for each in (folder, folder.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _public_line(private_path: Path) -> str:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_ssh_private_key(private_path.read_bytes(), password=None)
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f"{line.decode()} gpulease"
