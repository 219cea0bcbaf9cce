from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.remote.hosts import Host, to_host, to_hosts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def test_all_that_can_be_said_of_a_host_is_kept() -> None:
    table = {
        "host": "tower.lan",
        "user": "ada",
        "port": 2222,
        "key": "~/.ssh/id_ed25519",
        "host_key": f"{KEY} root@tower",
    }

    host, problems = to_host("tower", table)

    assert problems == {}
    assert host == Host("tower", "tower.lan", "ada", 2222, Path.home() / ".ssh/id_ed25519", KEY)


def test_an_alias_is_enough() -> None:
    assert to_host("tower", {"host": "tower"}) == (Host("tower", "tower"), {})


@pytest.mark.parametrize(
    ("name", "table", "key"),
    [
        ("a b", {"host": "x"}, ""),
        ("tower", 5, ""),
        ("tower", {}, ""),
        ("tower", {"host": "-oProxyCommand=x"}, "host"),
        ("tower", {"host": "a b"}, "host"),
        ("tower", {"host": ""}, "host"),
        ("tower", {"host": "x", "user": "-l"}, "user"),
        ("tower", {"host": "x", "port": True}, "port"),
        ("tower", {"host": "x", "port": 65536}, "port"),
        ("tower", {"host": "x", "key": "id_ed25519"}, "key"),
        ("tower", {"host": "x", "host_key": "SHA256:abc"}, "host_key"),
        ("tower", {"host": "x", "prot": 22}, "prot"),
    ],
)
def test_a_mistake_is_told_by_its_key(name: str, table: object, key: str) -> None:
    host, problems = to_host(name, table)

    assert host is None
    assert list(problems) == [key]


def test_a_key_that_is_nearly_right_is_recognised() -> None:
    _, problems = to_host("tower", {"host": "x", "prot": 22})

    assert "port" in problems["prot"]


def test_hosts_and_mistakes_of_a_whole_section_are_told_apart() -> None:
    hosts, wrong = to_hosts({"tower": {"host": "t"}, "attic": {"host": 5}, "cellar": 5})

    assert hosts == {"tower": Host("tower", "t")}
    assert [(table, key) for table, key, _ in wrong] == [
        ("hosts.attic", "host"),
        ("hosts", "cellar"),
    ]
