"""Environment and config file → Settings. Nothing below the wiring may import this.

The environment says where things are (home, database, base URLs, login names). The config file
holds the money limits, which no flag can raise, and keys when nobody else can read it.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from orchestrator.errors import HomeError, MissingCredentials, UsageError
from orchestrator.remote.hosts import Host, to_hosts
from orchestrator.spec.nearest import did_you_mean

PROVIDER_KEYS = {
    "runpod": "RUNPOD_API_KEY",
    "lambda": "LAMBDA_API_KEY",
    "vast": "VAST_API_KEY",
    "paperspace": "PAPERSPACE_API_KEY",
}
HUB = "https://huggingface.co"
_KEYRING_LIMIT_S = 5.0
_URL = re.compile(r"GPULEASE_\w+_URL")
_TABLES = ("limits", "credentials", "hosts")
_NOT_A_SERVER = "GPULEASE_DATABASE_URL"

T = TypeVar("T")
Source = Literal["environment", "keyring", "config file"]


class Secret:
    """A value that never shows itself; only `get_secret_value` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret and where it was found."""

    value: Secret
    source: Source


class Vault(Protocol):
    """Where a person's keys are kept by the operating system."""

    def get(self, name: str) -> str | None:
        """The value, or None when it is absent or the vault does not answer."""

    def set(self, name: str, value: str) -> bool:
        """Keep it; false when this computer has no working vault."""


@dataclass(slots=True)
class KeyringVault:
    """The desktop's keyring. One that does not answer in time is not asked again."""

    limit_s: float = _KEYRING_LIMIT_S
    _stuck: bool = field(default=False, init=False)

    def get(self, name: str) -> str | None:
        def ask() -> str | None:
            import keyring

            return keyring.get_password("gpulease", name)

        return self._bounded(ask)

    def set(self, name: str, value: str) -> bool:
        def ask() -> bool:
            import keyring

            keyring.set_password("gpulease", name, value)
            return keyring.get_password("gpulease", name) == value

        return bool(self._bounded(ask))

    def _bounded(self, ask: Callable[[], T]) -> T | None:
        if self._stuck:
            return None
        answers: list[T] = []

        def keep() -> None:
            try:
                answers.append(ask())
            except Exception:  # a backend raises whatever its desktop raises
                return

        thread = Thread(target=keep, name="keyring", daemon=True)
        thread.start()
        thread.join(self.limit_s)
        self._stuck = thread.is_alive()
        return answers[0] if answers else None


@dataclass(frozen=True, slots=True)
class Limits:
    """What this computer may spend; set in the config file only."""

    month_usd: Decimal = Decimal(100)
    machines: int = 4
    burn_usd_per_hour: Decimal = Decimal(10)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a person can set outside a job."""

    home: Path
    config_file: Path
    database_url: str = field(repr=False)
    limits: Limits
    hosts: Mapping[str, Host]  # one's own workstations, by name
    clock_file: Path | None  # a simulated cloud's offset; only beside loopback providers
    hf_endpoint: str
    environment: Mapping[str, str] = field(repr=False)
    vault: Vault = field(repr=False)

    def provider_url(self, provider: str, surface: str = "") -> str | None:
        """Base URL from `GPULEASE_<PROVIDER>[_<SURFACE>]_URL`; None for the provider's own.

        >>> env = {"GPULEASE_RUNPOD_GRAPHQL_URL": "http://127.0.0.1:8/graphql"}
        >>> load_settings(env=env).provider_url("runpod", "graphql")
        'http://127.0.0.1:8/graphql'
        """
        middle = f"{provider}_{surface}" if surface else provider
        return self.environment.get(f"GPULEASE_{middle.upper()}_URL") or None

    def ssh_user(self, provider: str) -> str | None:
        """Login name from `GPULEASE_<PROVIDER>_SSH_USER`; None for the provider's own."""
        return self.environment.get(f"GPULEASE_{provider.upper()}_SSH_USER") or None

    def credential(self, name: str) -> Credential | None:
        """A key or secret by its name: environment, then keyring, then config file.

        Every call looks again, so that a changed key is found. Beside a moved clock a provider
        without a base URL of its own has no key: a real cloud never meets simulated time.

        Raises: MissingCredentials when the config file holds it for everybody to read.
        """
        if self.clock_file and any(
            key == name and self.provider_url(provider) is None
            for provider, key in PROVIDER_KEYS.items()
        ):
            return None
        if value := self.environment.get(name, "").strip():
            return Credential(Secret(value), "environment")
        if value := (self.vault.get(name) or "").strip():
            return Credential(Secret(value), "keyring")
        if value := _config_credential(self.config_file, name).strip():
            return Credential(Secret(value), "config file")
        return None

    def save_credential(self, name: str, value: str) -> str:
        """Keep a key in the keyring, else in the config file with mode 0600.

        Returns: where it is now, in words.
        """
        if not value.isprintable() or not value.strip():
            raise UsageError(f"the value given for {name} is empty or not text")
        if self.vault.set(name, value.strip()):
            return "the keyring"
        _write_credential(self.config_file, name, value.strip())
        return f"{self.config_file} (mode 0600)"


def load_settings(
    home: Path | None = None,
    env: Mapping[str, str] = os.environ,
    *,
    vault: Vault | None = None,
) -> Settings:
    """Settings of this call; `home` (from --home) wins over GPULEASE_HOME.

    Raises: UsageError for a wrong config file, with every mistake and its line; HomeError when
    GPULEASE_CLOCK is set beside a cloud that is not simulated.
    """
    config_file = _config_path(env)
    limits, hosts = _read_config(config_file)
    home = _home_path(home, env)
    return Settings(
        home=home,
        config_file=config_file,
        database_url=env.get("GPULEASE_DATABASE_URL") or f"sqlite:///{home / 'gpulease.sqlite'}",
        limits=limits,
        hosts=hosts,
        clock_file=_clock_file(env),
        hf_endpoint=env.get("HF_ENDPOINT", "").rstrip("/") or HUB,
        environment=dict(env),
        vault=vault or KeyringVault(),
    )


def _config_path(env: Mapping[str, str]) -> Path:
    if named := env.get("GPULEASE_CONFIG"):
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_config_path("gpulease", appauthor=False) / "config.toml"


def _home_path(home: Path | None, env: Mapping[str, str]) -> Path:
    if named := home or env.get("GPULEASE_HOME"):
        return Path(named).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("gpulease", appauthor=False)


def _clock_file(env: Mapping[str, str]) -> Path | None:
    """The offset file, refused beside any base URL that is not on this computer."""
    named = env.get("GPULEASE_CLOCK")
    if not named:
        return None
    for name, url in env.items():
        if _URL.fullmatch(name) and name != _NOT_A_SERVER and url and not _is_loopback(url):
            raise HomeError(
                f"GPULEASE_CLOCK moves time, but {name} is not on this computer",
                hint="unset GPULEASE_CLOCK: it is for simulated clouds only",
            )
    return Path(named)


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


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


def _read_config(path: Path) -> tuple[Limits, dict[str, Host]]:
    text = _read_text(path)
    config = _parse(path, text)
    problems: list[str] = []

    def complain(table: str, key: str, problem: str) -> None:
        problems.append(f"{path}:{_line_of(text, table, key)}: {problem}")

    known: dict[str, Callable[[object], object]] = {
        "month_usd": _to_dollars,
        "machines": _to_count,
        "burn_usd_per_hour": _to_dollars,
    }
    found: dict[str, object] = {}
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
                if key not in known:
                    complain(table, key, f"unknown key {key!r}{_nearest(key, known)}")
                    continue
                try:
                    found[key] = known[key](value)
                except ValueError as error:
                    complain(table, key, f"{key!r} {error}")
    if problems:
        raise UsageError("\n".join(problems), hint="correct the config file; nothing was done")
    return Limits(**found), hosts  # type: ignore[arg-type]  # each value went through its converter


def _to_dollars(value: object) -> Decimal:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        dollars = Decimal(value)
        if dollars.is_finite() and dollars >= 0:
            return dollars
    raise ValueError("must be dollars, a number of 0 or more without quotes")


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


def _config_credential(path: Path, name: str) -> str:
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


def _write_credential(path: Path, name: str, value: str) -> None:
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
