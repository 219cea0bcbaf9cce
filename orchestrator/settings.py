"""Environment and config file → Settings. Nothing below the wiring may import this.

The environment says where things are (home, database, base URLs, login names). The config file
holds the money limits, which no flag can raise, and keys when nobody else can read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from orchestrator.budget.ledger import Limits
from orchestrator.config import read_config, read_credential, write_credential
from orchestrator.errors import HomeError, UsageError
from orchestrator.remote.hosts import Host

PROVIDER_KEYS = {
    "runpod": "RUNPOD_API_KEY",
    "lambda": "LAMBDA_API_KEY",
    "vast": "VAST_API_KEY",
    "paperspace": "PAPERSPACE_API_KEY",
}
HUB = "https://huggingface.co"
_KEYRING_LIMIT_S = 5.0
_URL = re.compile(r"GPULEASE_\w+_URL")
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
    """The desktop's keyring. One that does not answer in time is asked again once it has.

    A service begins before its keyring is unlocked, and lives for months.
    """

    limit_s: float = _KEYRING_LIMIT_S
    _asking: Thread | None = field(default=None, init=False)  # and not answered yet

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
        if self._asking is not None and self._asking.is_alive():
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
        self._asking = thread if thread.is_alive() else None
        return answers[0] if answers else None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a person can set outside a job."""

    home: Path
    config_file: Path
    database_url: str = field(repr=False)
    limits: Limits
    hosts: Mapping[str, Host]  # one's own workstations, by name
    webhook: str = field(repr=False)  # address that is told what happens to runs; "" = nobody
    heartbeat: str  # where a reaper on another host leaves its sign of life; "" = nowhere
    clock_file: Path | None  # a simulated cloud's offset; only beside loopback providers
    hf_endpoint: str
    environment: Mapping[str, str] = field(repr=False)
    vault: Vault = field(repr=False)

    @property
    def private(self) -> tuple[Path, ...]:
        """Files and folders that hold keys, and never leave this computer with somebody's code."""
        return self.home, self.config_file

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

    def ssh_port(self, provider: str) -> int | None:
        """Port of sshd from `GPULEASE_<PROVIDER>_SSH_PORT`; None for the provider's own.

        Raises: UsageError for what is no port.
        """
        name = f"GPULEASE_{provider.upper()}_SSH_PORT"
        text = self.environment.get(name, "").strip()
        if text and not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
            raise UsageError(f"{name} is no port: {text}")
        return int(text) if text else None

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
        if value := read_credential(self.config_file, name).strip():
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
        write_credential(self.config_file, name, value.strip())
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
    config = read_config(config_file)
    home = _home_path(home, env)
    return Settings(
        home=home,
        config_file=config_file,
        database_url=env.get("GPULEASE_DATABASE_URL") or f"sqlite:///{home / 'gpulease.sqlite'}",
        limits=config.limits,
        hosts=config.hosts,
        webhook=config.webhook,
        heartbeat=config.heartbeat,
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
