from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import HomeError
from orchestrator.remote.keys import (
    HostKey,
    fingerprint,
    host_key_line,
    host_keys_in,
    is_same_key,
    make_key_pair,
    shown_host_key,
)


def ssh_keygen(*arguments: str | Path) -> str:
    return subprocess.run(
        ["ssh-keygen", *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_a_key_pair_is_private_and_openssh_reads_it(tmp_path: Path) -> None:
    pair = make_key_pair(tmp_path / "keys")

    assert stat.S_IMODE(pair.private_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(pair.private_path.parent.stat().st_mode) == 0o700
    derived = ssh_keygen("-y", "-f", pair.private_path).split()[:2]
    assert derived == pair.public_line.split()[:2]
    assert derived[0] == "ssh-ed25519"


def test_a_key_is_durable_before_anybody_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes before its name, its name before it is returned: by the calls the disk sees."""
    calls: list[str] = []
    fsync, link = os.fsync, os.link

    def watched_fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        calls.append("sync bytes" if name.startswith(".") else f"sync {name}")
        fsync(descriptor)

    def watched_link(source: Path, target: Path) -> None:
        calls.append(f"name {target.name}")
        link(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "link", watched_link)
    make_key_pair(tmp_path / "run" / "keys")

    assert calls == ["sync bytes", "name id_ed25519", "sync keys", "sync run"]


def test_a_key_pair_is_never_overwritten(tmp_path: Path) -> None:
    first = make_key_pair(tmp_path)
    text = first.private_path.read_bytes()

    assert make_key_pair(tmp_path) == first
    assert first.private_path.read_bytes() == text
    assert [path.name for path in tmp_path.iterdir()] == ["id_ed25519"]


def test_a_broken_key_is_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "id_ed25519").write_text("torn")

    with pytest.raises(HomeError, match="cannot be used"):
        make_key_pair(tmp_path)
    assert (tmp_path / "id_ed25519").read_text() == "torn"


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path, kind: str) -> None:
    key = tmp_path / "key"
    ssh_keygen("-q", "-t", kind, "-N", "", "-f", key)
    public = (tmp_path / "key.pub").read_text()

    shown = ssh_keygen("-l", "-f", key)
    assert fingerprint(public) == shown.split()[1]
    assert is_same_key(shown.split()[1], public)
    assert is_same_key(host_key_line(public), public)


def test_host_keys_are_found_in_a_boot_log(tmp_path: Path) -> None:
    line = host_key_line(make_key_pair(tmp_path / "a").public_line)
    other = fingerprint(make_key_pair(tmp_path / "b").public_line)
    log = (
        f"starting\x1b[0m\nhost key: {line} root@box\n256 {fingerprint(line)} root@box (ED25519)\n"
        f"256 {other} root@box (ED25519)\nssh-ed25519 AAAAnotakeynotakeynotakey==\nSHA256:short\n"
    )

    found = host_keys_in(log)

    assert found == [
        HostKey(line, fingerprint(line), "ssh-ed25519"),
        HostKey("", other, "ssh-ed25519"),
    ]


def test_a_boot_log_that_only_shows_fingerprints_names_the_key_to_pin(tmp_path: Path) -> None:
    pairs = [make_key_pair(tmp_path / name) for name in "abc"]
    rsa, old, new = (fingerprint(pair.public_line) for pair in pairs)
    log = f"3072 {rsa} root@box (RSA)\nKey: a.pub\n256 {old} root@box (ED25519)\nImage {rsa}\n"

    assert shown_host_key("SSH host keys:\nKey: a.pub\n") == ""
    assert shown_host_key(f"3072 {rsa} root@box (RSA)\n") == ""
    assert shown_host_key(log) == old
    assert shown_host_key(f"{log}started again\n256 {new} root@box (ED25519)\n") == new
    assert shown_host_key(f"{log}{pairs[1].public_line}\n") == host_key_line(pairs[1].public_line)


def test_another_key_is_not_the_pinned_one(tmp_path: Path) -> None:
    one = make_key_pair(tmp_path / "a").public_line
    other = make_key_pair(tmp_path / "b").public_line

    assert not is_same_key(one, other)
    assert not is_same_key(fingerprint(one), other)
    with pytest.raises(ValueError, match="no OpenSSH host key"):
        is_same_key("nonsense", other)
