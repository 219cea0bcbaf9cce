"""Builds the parts from Settings: the only module that names concrete classes together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from orchestrator.artifacts.download import Downloads
from orchestrator.artifacts.s3 import CREDENTIAL_NAMES, S3
from orchestrator.clock import SystemClock
from orchestrator.errors import UsageError
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.announcing import Announcer
from orchestrator.lifecycle.balance import Purses
from orchestrator.lifecycle.calling import start_driver
from orchestrator.lifecycle.cargo import RunCargo
from orchestrator.lifecycle.engine import Engine
from orchestrator.lifecycle.handover import store_without_driver
from orchestrator.lifecycle.heartbeat import HeartbeatPlace
from orchestrator.lifecycle.homeline import HOME_BYTES_PER_S
from orchestrator.lifecycle.keys import Keys
from orchestrator.lifecycle.leftovers import Sweeper
from orchestrator.lifecycle.material import HUB_TOKEN, prepare, read_facts
from orchestrator.lifecycle.memory import recall
from orchestrator.lifecycle.plan import Known, Material
from orchestrator.lifecycle.reaper import Reaper
from orchestrator.lifecycle.rehearsal import Stage, measure_room
from orchestrator.lifecycle.stores import Stores
from orchestrator.lifecycle.uploads import to_bucket
from orchestrator.lifecycle.world import Again, Opened, World
from orchestrator.notify.webhook import SECRET_NAME, make_webhook
from orchestrator.providers.base import OwnLogin, Provider, ProviderSettings, SshAddress
from orchestrator.providers.registry import (
    OWN_HOSTS,
    build,
    provider_names,
    surfaces,
    to_accounts,
)
from orchestrator.providers.wrappers import stacked
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import Wish
from orchestrator.settings import PROVIDER_KEYS, Secret, Settings
from orchestrator.sizing.hub import ModelFacts
from orchestrator.spec.job import Job
from orchestrator.spec.model import named_model
from orchestrator.spec.place import parse_place
from orchestrator.store.home import open_home
from orchestrator.store.journal import Journal
from orchestrator.store.schema import at_once, rehearse

_LOGIN_S = 10.0
_KNOCK_S = 2.0
_SPARE_BYTES = 1 << 30


class Parts:
    """Everything that the App works with, each built when first used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock(settings.clock_file)
        self.home = open_home(settings.home)
        self.keys = Keys(self._look_up)
        self.is_driver = False  # this process holds the lock of the home's driver

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.settings.database_url, at_once if self.is_driver else self._hold)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self._provider, self.clock, self._refused)

    @cached_property
    def cargo(self) -> RunCargo:
        return RunCargo(self.home.folder, self.accounts.provider, self.keys.get)

    @cached_property
    def world(self) -> World:
        return World(
            clock=self.clock,
            home_id=self.home.id,
            accounts=self.accounts,
            open_shell=self._open_shell,
            cargo=self.cargo,
            wish_of=self._wish_of,
            bucket=self.stores.bucket,
            purse=self.purses.of,
            answers=self._answers,
            recall=self.recall,
        )

    @cached_property
    def engine(self) -> Engine:
        tells = bool(self.settings.webhook)
        return Engine(self.journal, self.world, tells=tells, limits=self.settings.limits)

    def chores(self) -> list[Callable[[], Again]]:
        """What the driver does beside its runs."""
        chores: list[Callable[[], Again]] = [
            partial(self.reaper.search, self.keyed),
            self.reaper.watch_abandoned,
            self.purses.look,
            self.sweeper.sweep,
        ]
        if self.settings.webhook:
            chores.append(Announcer(self.journal, self.clock, self.post).tell)
        return chores

    def post(self, message_id: str, body: bytes, now_s: float) -> None:
        """Tell the webhook of the config file. Raises: NotifyError; UsageError for a bad secret."""
        secret = self.keys.get(SECRET_NAME)
        make_webhook(self.settings.webhook, secret).post(message_id, body, now_s)

    @cached_property
    def purses(self) -> Purses:
        return Purses(self.accounts, self.journal, self.clock)

    @cached_property
    def reaper(self) -> Reaper:
        return Reaper(self.accounts, self.journal, self.clock, self.home.id)

    @property
    def heartbeat(self) -> HeartbeatPlace:
        """Where a reaper on another host leaves its sign of life."""
        return HeartbeatPlace(
            self.settings.heartbeat, lambda: self.stores.open(self.stores.settled())
        )

    def recall(self, names: Iterable[str]) -> Known:
        """What this home and its accounts tell beside the offers. Raises: ProviderError."""
        return recall(self.accounts, self.journal, names, self.clock.now_s(), self.heartbeat.read)

    @cached_property
    def sweeper(self) -> Sweeper:
        return Sweeper(self.accounts, self.journal, self.clock, self.home.id)

    def keyed(self) -> list[str]:
        """Every account whose key is at hand."""
        return [
            name
            for name in provider_names()
            if name in PROVIDER_KEYS and self.keys.get(PROVIDER_KEYS[name]) is not None
        ]

    def usable(self, wanted: Sequence[str] = ()) -> list[str]:
        """Accounts of the wanted providers; else every one that has a key, and one's own hosts.

        This computer is used only when it is wanted. Raises: UsageError for an unknown host.
        """
        hosts = self.settings.hosts
        if wanted:
            return to_accounts(wanted, hosts)
        return [*self.keyed(), *(to_accounts([OWN_HOSTS], hosts) if hosts else [])]

    @contextmanager
    def _hold(self, is_done: Callable[[], bool]) -> Iterator[None]:
        """The moment to migrate a store that an older version wrote."""
        self.home.check_writable()
        self.rehearse()
        start = partial(start_driver, self.home.folder, _credential_names(os.environ))
        with store_without_driver(self.home.folder, self.clock, start, is_done):
            yield

    def rehearse(self) -> None:
        """Whether the store can be brought to this version. Raises: HomeError."""
        rehearse(self.settings.database_url)

    def key_names(self) -> set[str]:
        """Every credential that a driver may need: of providers, the hub, and the open runs."""
        open_runs = self.journal.runs(only_open=True)
        asked = {name for run in open_runs for name in run.launch.secrets}
        if any(run.launch.bucket for run in open_runs):
            asked.update(CREDENTIAL_NAMES)
        return {*PROVIDER_KEYS.values(), HUB_TOKEN, SECRET_NAME, *asked}

    def environment_keys(self) -> dict[str, str]:
        """Credentials that only this process's environment has: what a driver must be handed."""
        handed: dict[str, str] = {}
        for name in self.key_names():
            found = self.settings.credential(name)
            if found is not None and found.source == "environment":
                handed[name] = found.value.get_secret_value()
        return handed

    def key_hint(self, provider: str) -> str:
        """How to give a key that is missing or was refused; "" where there are no keys."""
        if (name := PROVIDER_KEYS.get(provider)) is None:
            return ""
        found = self.settings.credential(name)
        if found is not None and found.source == "environment":
            return f"correct {name} in the environment, or unset it and gpulease login {provider}"
        return f"gpulease login {provider}, or set {name}"

    def build_provider(self, name: str, key: str | None) -> Provider:
        """A provider with every wrapper around it."""
        urls = {
            one: url for one in surfaces(name) if (url := self.settings.provider_url(name, one))
        }
        to_accounts([name], self.settings.hosts)
        settings = ProviderSettings(
            home=self.home.folder,
            host=self.settings.hosts.get(name.partition(":")[2]),
            key=Secret(key) if key is not None else None,
            urls=urls,
            ssh_user=self.settings.ssh_user(name) or "",
            ssh_port=self.settings.ssh_port(name) or 0,
            clock=self.clock,
        )
        return stacked(build(name, settings), self.clock)

    def prepare(self, job: Job, home_bytes_per_s: float = HOME_BYTES_PER_S) -> Material:
        """Data, model and size of a job."""
        material = prepare(
            job,
            cache_dir=self.home.folder / "cache",
            endpoint=self.settings.hf_endpoint,
            token=self.keys.get(HUB_TOKEN),
            private=self.settings.private,
            home_bytes_per_s=home_bytes_per_s,
        )
        if not material.launch.bucket:
            return material
        place = parse_place(material.launch.bucket)
        region = self.store().region(place)
        return replace(material, launch=to_bucket(material.launch, self.stores.settled(region)))

    def stage(self, tell: Callable[[str], None]) -> Stage:
        """Where the first batch of a job is tried."""
        folder = self.home.folder / "cache" / "rehearsal"
        return Stage(folder, self.clock, tell, self.keys.get, measure_room, self.settings.private)

    @cached_property
    def stores(self) -> Stores:
        return Stores(self.keys.get, self.settings.environment, self.clock.now_s)

    def fetch(self, address: str) -> Path:
        """A data file that lies elsewhere, at home. Raises: as `Downloads.fetch`."""
        folder = self.home.folder / "cache" / "data"
        return Downloads(folder, self.store).fetch(address)

    def store(self, run: Run | None = None) -> S3:
        """The store of a run, else of this computer's own settings. Raises: BucketRefused."""
        stores = self.stores
        return stores.open_for(run.launch) if run else stores.open(stores.settled())

    def model_facts(self, text: str) -> ModelFacts:
        """Facts of a model that is named as in a job. Raises: UsageError, and as `prepare`."""
        return read_facts(
            named_model(text),
            cache_dir=self.home.folder / "cache",
            endpoint=self.settings.hf_endpoint,
            token=self.keys.get(HUB_TOKEN),
        )

    def login_command(self, run: Run) -> list[str]:
        """argv of an OpenSSH login to the run's machine, host key pinned. Raises UsageError."""
        from orchestrator.remote.transfer import Login, ssh_command

        lease = run.lease
        if lease is None or not lease.is_open or not lease.ssh_host:
            raise UsageError(f"{run.name} has no machine to log in to", hint="gpulease show it")
        if login := self._own_login(lease):
            return login.login_command(lease.label)
        if not lease.host_key:
            raise UsageError(f"nobody could log in to the machine of {run.name} yet")
        address = SshAddress(lease.ssh_host, lease.ssh_port, lease.ssh_user)
        return ssh_command(Login(address, self.cargo.private_key(run), lease.host_key), "-t")

    def _own_login(self, lease: Lease) -> OwnLogin | None:
        """The lease's provider where it logs in by itself: it pins no host key for us."""
        if lease.host_key:  # reached without the provider, whose key may be gone meanwhile
            return None
        provider = self.accounts.provider(lease.provider)
        return provider if isinstance(provider, OwnLogin) else None

    def _look_up(self, name: str) -> str | None:
        found = self.settings.credential(name)
        return found.value.get_secret_value() if found is not None else None

    def _provider(self, name: str) -> Provider:
        key_name = PROVIDER_KEYS.get(name)
        return self.build_provider(name, self.keys.get(key_name) if key_name else None)

    def _refused(self, name: str) -> None:
        if key_name := PROVIDER_KEYS.get(name):
            self.keys.refused(key_name)

    def _wish_of(self, run_id: str) -> Wish:
        return self.journal.run(run_id).wish

    @staticmethod
    def _answers(lease: Lease) -> bool:
        from orchestrator.remote.ssh import answers

        return answers(SshAddress(lease.ssh_host, lease.ssh_port, lease.ssh_user), _KNOCK_S)

    def _open_shell(self, run: Run, lease: Lease) -> Opened:
        if lease.folder:
            from orchestrator.remote.folder import FolderShell

            return Opened(FolderShell(Path(lease.folder)), "")
        if login := self._own_login(lease):
            return Opened(login.open_shell(lease.label), "")
        from orchestrator.remote.ssh import connect

        shell = connect(
            SshAddress(lease.ssh_host, lease.ssh_port, lease.ssh_user),
            self.cargo.private_key(run),
            lease.host_key or None,
            f"gpulease/{lease.label}",
            _LOGIN_S,
        )
        return Opened(shell, shell.host_key)


def _credential_names(names: Iterable[str]) -> set[str]:
    """Names that sound like a credential's: which ones runs need stands in a store yet unread."""
    words = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
    return {name for name in names if any(word in name.upper() for word in words)}
