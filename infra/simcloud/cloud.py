"""A whole simulated cloud in this process: servers, machines, clock, and files that tell of them.

with SimCloud(state=folder) as cloud:
    subprocess.run([...], env=os.environ | cloud.env)
"""

from __future__ import annotations

import logging
import shlex
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from infra.simcloud.control import Control, machine_fault, machine_rows
from infra.simcloud.faults import Option
from infra.simcloud.keys import Keys
from infra.simcloud.lambda_cloud.api import LambdaApi
from infra.simcloud.machines import Backend, NotPossible
from infra.simcloud.machines.memory import MemoryBackend
from infra.simcloud.machines.namespaces import NamespaceBackend
from infra.simcloud.machines.plain import PlainBackend
from infra.simcloud.paperspace.api import PaperspaceApi
from infra.simcloud.runpod.api import RunPodApi
from infra.simcloud.switches import Switches
from infra.simcloud.timing import Now, OffsetClock
from infra.simcloud.vast.api import VastApi
from infra.simcloud.web import Json, Reply, Request, Server
from infra.simcloud.world import World

_TICK_S = 0.05

Machines = Literal["real", "plain", "memory"]
Watch = Callable[[str, Request, Reply], None]


class ProviderApi(Protocol):
    """One provider's wire API over a world."""

    @property
    def keys(self) -> Keys:
        """Who may ask it."""

    @property
    def switches(self) -> Switches:
        """What may be set."""

    def __call__(self, request: Request) -> Reply:
        """Answer."""

    def environment(self, url: str, user: str) -> dict[str, str]:
        """Variables that lead to it, when it is served at `url` and `user` logs in."""


_APIS: dict[str, Callable[[World], ProviderApi]] = {
    "runpod": RunPodApi,
    "vast": VastApi,
    "lambda": LambdaApi,
    "paperspace": PaperspaceApi,
}
PROVIDERS = tuple(_APIS)


class SimCloud:
    """Starts on `with`, ends with it; no process, port or disk is left."""

    def __init__(
        self,
        *,
        state: Path,
        machines: Machines = "real",
        speed: float = 1.0,
        seed: int = 0,
        boot_s: float = 2.0,
        clock: Now | None = None,
        providers: tuple[str, ...] = ("runpod",),
        hub: bool = False,
        machines_ahead_s: float = 0.0,
    ) -> None:
        """Nothing starts yet.

        Args:
            state: folder for `env`, `clock`, `simcloud.log`.
            machines: `real` takes namespaces where they are possible, else `plain`.
            speed: divides delays of boots, lags and faults; never the bill.
            clock: None: the computer's clock plus the offset in `state/clock`.
            hub: also serve a Hugging Face hub.
            machines_ahead_s: by which the clocks of its machines are ahead of everybody else's.
        """
        if unknown := set(providers) - set(PROVIDERS):
            raise ValueError(f"no such provider here: {', '.join(sorted(unknown))}")
        self.apis: dict[str, ProviderApi] = {}
        self._providers = providers
        self.state = state.resolve()
        self._machines = machines
        self._speed, self._seed, self._boot_s = speed, seed, boot_s
        self._given_clock = clock
        self._machines_ahead_s = machines_ahead_s
        self._with_hub = hub
        self._stack = ExitStack()
        self._closing = threading.Event()
        self.env: dict[str, str] = {}
        self.watch: Watch | None = None  # sees provider, request and answer of each call

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything; safe to repeat."""
        self._stack.close()

    @property
    def url(self) -> str:
        """SIMCLOUD_URL."""
        return self._control.url

    def machines(self) -> list[dict[str, Json]]:
        """Every machine ever rented, as `GET /machines` shows them."""
        self.world.settle()
        return machine_rows(self.world)

    def advance(self, seconds: float) -> None:
        """Let `seconds` go by for the bill, every lag, and all who share the clock."""
        advance = getattr(self.world.clock, "advance", None)
        if advance is None:
            raise ValueError("the clock that was given cannot be advanced")
        advance(seconds)
        self.world.settle()

    def fault(
        self,
        fault: str,
        *,
        provider: str = "",
        operation: str = "",
        **options: Option,
    ) -> None:
        """Script a fault (see `faults.py`), revoke and restore keys, or empty the account.

        Without a provider it is the first one's. Raises: UnknownFault.
        """
        api = self._api(provider)
        if fault == "key_revoked":
            name = str(options.get("key", "main"))
            api.keys.revoke({"main": api.keys.main, "other": api.keys.other}[name])
        elif fault == "key_restored":
            api.keys.restore()
        elif fault == "balance_gone":
            self.switch(provider=provider, balance_usd=options.get("usd", 0))
        else:
            self.world.faults.add(provider or self._providers[0], operation, fault, **options)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more; what was broken stays broken."""
        self.world.faults.clear()
        for api in self.apis.values():
            api.keys.restore()

    def machine_fault(self, machine_id: str, fault: str) -> None:
        """host_lost, network_cut, disk_full, spot_reclaim, … (see `control.py`), now."""
        machine_fault(self.world, machine_id, fault)

    def switch(self, **switches: object) -> None:
        """Set switches of an API (see its `switches.py`), or `balance_usd`.

        Of the API of `provider`, without it of the first one. Raises: ValueError.
        """
        provider = str(switches.pop("provider", ""))
        api = self._api(provider)
        for name, value in switches.items():
            if name == "balance_usd":
                whose = provider or self._providers[0]
                self.world.accounts.set_balance_usd(whose, "main", str(value))
            else:
                api.switches.set(name, value)

    @property
    def runpod(self) -> RunPodApi:
        """RunPod's API."""
        api = self.apis["runpod"]
        assert isinstance(api, RunPodApi)
        return api

    def _api(self, provider: str) -> ProviderApi:
        name = provider or self._providers[0]
        if name not in self.apis:
            raise ValueError(f"no provider {name!r} here; there are: {', '.join(self.apis)}")
        return self.apis[name]

    def _start(self) -> None:
        shared = self.state / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        logger = self._open_log()
        clock_file, machines_clock = shared / "clock", shared / "machines-clock"
        ahead_s = {machines_clock: self._machines_ahead_s}
        clock = self._given_clock or OffsetClock(clock_file, ahead_s)
        link = self.state / "clock"
        link.unlink(missing_ok=True)
        link.symlink_to(clock_file.relative_to(self.state))

        self._control = self._serve_control()
        backend = self._backend(shared, self._control.port, logger)
        self.world = World(
            backend,
            clock,
            seed=self._seed,
            speed=self._speed,
            boot_s=self._boot_s,
            logger=logger,
        )
        self._stack.callback(self.world.close)
        self.env = {}
        for provider in self._providers:
            self._serve_provider(provider, backend.user)
        self.env |= {"SIMCLOUD_URL": self._control.url, "GPULEASE_CLOCK": str(clock_file)}
        backend.environment = {**backend.environment, "GPULEASE_CLOCK": str(machines_clock)}
        if self._with_hub:
            self.env["HF_ENDPOINT"] = self._serve_hub()
        self._write_env()
        if self._machines != "memory":
            ticker = threading.Thread(target=self._tick, name="simcloud-ticker", daemon=True)
            ticker.start()
            self._stack.callback(ticker.join)
        self._stack.callback(self._closing.set)

    def _serve_control(self) -> Server:
        server = Server(Control(self))
        self._stack.callback(server.close)
        return server

    def _serve_provider(self, provider: str, user: str) -> None:
        api = _APIS[provider](self.world)
        server = Server(lambda request: self._answer(provider, request))
        self._stack.callback(server.close)
        self.apis[provider] = api
        self.world.services[provider] = server.port
        self.env |= api.environment(server.url, user)

    def _answer(self, provider: str, request: Request) -> Reply:
        reply = self.apis[provider](request)
        if self.watch is not None:
            self.watch(provider, request, reply)
        return reply

    def _backend(self, shared: Path, port: int, logger: logging.Logger) -> Backend:
        if self._machines == "memory":
            return MemoryBackend()
        if self._machines == "real":
            try:
                return NamespaceBackend(sshd_port=port, shared=shared)
            except NotPossible as why:
                logger.warning("machines without namespaces: %s", why)
                print(f"simcloud: machines without namespaces: {why}", file=sys.stderr)
        return PlainBackend(sshd_port=port)

    def _serve_hub(self) -> str:
        from infra.simcloud.hub import serve_hub

        hub = serve_hub(cache_dir=self.state / "hub")
        self._stack.callback(hub.close)
        self.world.services["hub"] = int(hub.url.rpartition(":")[2])
        return hub.url

    def _write_env(self) -> None:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items()]
        new = self.state / "env.new"
        new.touch(mode=0o600)
        new.write_text("".join(lines))
        new.replace(self.state / "env")

    def _open_log(self) -> logging.Logger:
        logger = logging.Logger("simcloud")  # not a global one: a process may have several clouds
        handler = logging.FileHandler(self.state / "simcloud.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
        self._stack.callback(handler.close)
        return logger

    def _tick(self) -> None:
        while not self._closing.wait(_TICK_S):
            self.world.settle()
