"""A person's own computers, as their config file names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.remote.keys import host_key_line
from orchestrator.spec.nearest import did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ADDRESS = re.compile(r"[A-Za-z0-9:\[][A-Za-z0-9.:%_\[\]-]{0,252}")  # ssh takes a "-" for an option


@dataclass(frozen=True, slots=True)
class Host:
    """How a person's own computer is reached; what is left out, their OpenSSH knows."""

    name: str
    address: str  # or an alias of ~/.ssh/config
    user: str = ""
    port: int = 0
    key: Path | None = None
    host_key: str = ""  # the only one that it may show; else known_hosts says


def to_hosts(
    tables: Mapping[str, object],
) -> tuple[dict[str, Host], list[tuple[str, str, str]]]:
    """Hosts of `[hosts]` by name, and what is wrong: (table, key, problem)."""
    hosts: dict[str, Host] = {}
    wrong: list[tuple[str, str, str]] = []
    for name, table in tables.items():
        host, problems = to_host(name, table)
        if host is not None:
            hosts[name] = host
        for key, problem in problems.items():
            is_table = isinstance(table, Mapping)
            place = (f"hosts.{name}", key) if is_table else ("hosts", name)
            wrong.append((*place, problem))
    return hosts, wrong


def to_host(name: str, table: object) -> tuple[Host | None, dict[str, str]]:
    """The host of a table `[hosts.NAME]`, and what is wrong with it by key ("": with all of it)."""
    if not NAME.fullmatch(name):
        return None, {"": f"{name!r} is no name for a host: letters, digits, '.', '_' and '-'"}
    if not isinstance(table, Mapping):
        return None, {"": f"the host {name!r} must be a table: [hosts.{name}]"}
    known: dict[str, Callable[[object], object]] = {
        "host": _to_address,
        "user": _to_user,
        "port": _to_port,
        "key": _to_path,
        "host_key": _to_host_key,
    }
    problems: dict[str, str] = {} if "host" in table else {"": f"the host {name!r} has no `host`"}
    found: dict[str, object] = {}
    for key, value in table.items():
        if key not in known:
            near = did_you_mean(key, known) or f"; known: {', '.join(known)}"
            problems[key] = f"unknown key {key!r}{near}"
            continue
        try:
            found["address" if key == "host" else key] = known[key](value)
        except ValueError as error:
            problems[key] = f"{key!r} {error}"
    if problems:
        return None, problems
    return Host(name, **found), {}  # type: ignore[arg-type]  # each went through its converter


def _to_address(value: object) -> str:
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return value
    raise ValueError("must be a host name, an address, or an alias of ~/.ssh/config, in quotes")


def _to_user(value: object) -> str:
    if isinstance(value, str) and NAME.fullmatch(value.lstrip("_")):
        return value
    raise ValueError("must be a login name in quotes")


def _to_port(value: object) -> int:
    if type(value) is int and 0 < value < 65536:
        return value
    raise ValueError("must be a whole number from 1 to 65535")


def _to_path(value: object) -> Path:
    if isinstance(value, str) and value.isprintable():
        path = Path(value).expanduser()
        if path.is_absolute():
            return path
    raise ValueError("must be the path of a private key, absolute or from ~, in quotes")


def _to_host_key(value: object) -> str:
    try:
        return host_key_line(str(value))
    except ValueError as error:
        raise ValueError("must be a public key line, such as 'ssh-ed25519 AAAA…'") from error
