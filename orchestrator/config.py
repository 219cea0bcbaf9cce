"""The config file: what it may say, and the credentials that a person keeps in it."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.budget.ledger import Limits
from orchestrator.errors import HomeError, MissingCredentials, UsageError
from orchestrator.remote.hosts import Host, to_hosts
from orchestrator.spec.nearest import did_you_mean

_TABLES = ("limits", "credentials", "hosts", "notify", "reaper")


@dataclass(frozen=True, slots=True)
class Config:
    """What the config file says, but for the credentials."""

    limits: Limits
    hosts: dict[str, Host]
    webhook: str = field(repr=False)  # its address may hold a token
    heartbeat: str = ""  # where a reaper on another host leaves its sign of life


def read_config(path: Path) -> Config:
    """Raises: UsageError with every mistake and its line."""
    text = _read_text(path)
    config = _parse(path, text)
    problems: list[str] = []

    def complain(table: str, key: str, problem: str) -> None:
        problems.append(f"{path}:{_line_of(text, table, key)}: {problem}")

    known: dict[str, dict[str, Callable[[object], object]]] = {
        "limits": {
            "month_usd": _to_dollars,
            "machines": _to_count,
            "burn_usd_per_hour": _to_dollars,
        },
        "notify": {"webhook": _to_address},
        "reaper": {"heartbeat": _to_place},
    }
    found: dict[str, dict[str, object]] = {table: {} for table in known}
    hosts: dict[str, Host] = {}
    for table, content in config.items():
        if table not in _TABLES:
            near = _nearest(table, _TABLES)
            complain("", table, f"unknown table or key {table!r}{near}")
        elif not isinstance(content, dict):
            complain("", table, f"{table!r} must be a table: [{table}]")
        elif table == "credentials":
            for key, value in content.items():
                if not isinstance(value, str):
                    complain(table, key, f"{key!r} must be text in quotes")
        elif table == "hosts":
            hosts, wrong = to_hosts(content)
            for place, key, problem in wrong:
                complain(place, key, problem)
        else:
            for key, value in content.items():
                if key not in known[table]:
                    complain(table, key, f"unknown key {key!r}{_nearest(key, known[table])}")
                    continue
                try:
                    found[table][key] = known[table][key](value)
                except ValueError as error:
                    complain(table, key, f"{key!r} {error}")
    if problems:
        raise UsageError("\n".join(problems), hint="correct the config file; nothing was done")
    limits = Limits(**found["limits"])  # type: ignore[arg-type]  # converted above
    return Config(
        limits,
        hosts,
        str(found["notify"].get("webhook", "")),
        str(found["reaper"].get("heartbeat", "")),
    )


def read_credential(path: Path, name: str) -> str:
    """A key or secret, "" when it is not there. Raises: MissingCredentials when all may read it."""
    table = _parse(path, _read_text(path)).get("credentials")
    value = table.get(name) if isinstance(table, dict) else None
    if not isinstance(value, str):
        return ""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise MissingCredentials(
            f"{path} holds {name}, and others on this computer may read it",
            hint=f"chmod 600 {path}",
        )
    return value


def write_credential(path: Path, name: str, value: str) -> None:
    """Put one line into `[credentials]`, keep every other line, and close the file to others."""
    text = _read_text(path)
    _parse(path, text)
    entry = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    lines = text.splitlines()
    if not re.search(r"^\s*\[\s*credentials\s*\]", text, re.MULTILINE):
        lines += [*([""] if lines else []), "[credentials]", entry]
    elif (at := _line_of(text, "credentials", name)) > 1:
        lines[at - 1] = entry
    else:
        lines.insert(_line_of(text, "", "credentials"), entry)
    new_text = "\n".join(lines) + "\n"
    if not _keeps(new_text, name, value):
        raise HomeError(
            f"{path} has a layout that cannot be edited safely", hint=f"add {name} to it by hand"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            file.write(new_text)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise HomeError(f"{path} cannot be written: {error}") from error


def _keeps(text: str, name: str, value: str) -> bool:
    try:
        credentials = tomllib.loads(text).get("credentials")
    except tomllib.TOMLDecodeError:
        return False
    return isinstance(credentials, dict) and credentials.get(name) == value


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _parse(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}", hint="https://toml.io shows the format"
        ) from error


def _to_dollars(value: object) -> Decimal:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        dollars = Decimal(value)
        if dollars.is_finite() and dollars >= 0:
            return dollars
    raise ValueError("must be dollars, a number of 0 or more without quotes")


def _to_address(value: object) -> str:
    parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    if isinstance(value, str) and parts.scheme in ("http", "https") and parts.hostname:
        return value
    raise ValueError("must be an address: https://… in quotes")


def _to_place(value: object) -> str:
    if isinstance(value, str) and Path(value).is_absolute():
        return value
    from orchestrator.spec.place import parse_place  # slow, and most files name none

    place = parse_place(value if isinstance(value, str) else "")
    if not place.key:
        raise ValueError("must name an object: s3://bucket/name")
    return str(place)


def _to_count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("must be a whole number of 0 or more")


def _nearest(word: str, words: Iterable[str]) -> str:
    return did_you_mean(word, words) or f"; known: {', '.join(words)}"


def _line_of(text: str, table: str, key: str) -> int:
    """Line of `key` in `[table]` ("" = top level, where a key may be a table's header).

    Without a key it is the table's own line.
    """
    inside = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            inside = header[1].strip("\"'")
            if (not table and inside.split(".")[0] == key) or (not key and inside == table):
                return number
        elif inside == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return 1
