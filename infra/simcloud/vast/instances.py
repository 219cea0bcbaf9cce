"""Instances: renting them on an ask, what they find inside, stopping and starting."""

from __future__ import annotations

from decimal import Decimal

from infra.simcloud.keys import Keys
from infra.simcloud.machines import Boot
from infra.simcloud.mishaps import OUTBID, cuda_error
from infra.simcloud.net import LOOPBACK
from infra.simcloud.orders import NotNow, Order, SoldOut
from infra.simcloud.rented import Phase, Rented
from infra.simcloud.vast.bodies import CreateInstance
from infra.simcloud.vast.facts import Facts, facts_of
from infra.simcloud.vast.hosts import PROVIDER, Ask
from infra.simcloud.vast.market import Market
from infra.simcloud.vast.mishaps import end_at_its_contract, spoil, start_modes
from infra.simcloud.vast.problems import Problem, invalid_args, no_such_ask
from infra.simcloud.world import World

LAUNCH = "/.launch"
_STOPPED_DISK_FACTOR = Decimal("1.2")  # documented as "often higher", without a figure
# The documented boot: nothing for 3 s, created, loading for 20 s, running; sshd 10 s later.
_STARTING_SHARE, _SSH_SHARE = 3 / 23, 10 / 23
_FIRST_PORT, _LAST_PORT = 40_000, 65_000
_LEAST_CREDIT_HOURS = 1


class Instances:
    """Rents machines of the world as instances."""

    def __init__(self, world: World, market: Market, keys: Keys) -> None:
        self._world = world
        self._market = market
        self._keys = keys
        self._next_id = 20_000_000 + world.random.randrange(1_000_000)

    def create(
        self, ask_id: int, asked: CreateInstance, account: str, *, loses: bool = False
    ) -> tuple[Rented, bool]:
        """Take an ask; also whether it was a bid too low, so that it is there and stopped.

        `loses`: whatever it bids. Raises: Problem.
        """
        ask = self._market.find(ask_id)
        if ask is None:
            raise no_such_ask(ask_id)
        host = ask.host
        if asked.disk_gb > Decimal(str(host.disk_gb)) * ask.gpus / host.gpus:
            raise invalid_args(f"disk of {asked.disk_gb} GB is more than the offer has")
        if self._world.accounts.balance_usd(PROVIDER, account) < host.usd_per_hour(ask.gpus):
            raise Problem(400, "insufficient_credit", "error 400/3471: Insufficient credits")
        is_low = asked.bid_usd is not None and asked.bid_usd < host.min_bid_usd(ask.gpus)
        if is_low and asked.cancel_unavail and not loses:
            raise no_such_ask(ask_id, "410")
        machine = self._rent(ask, asked, account)
        is_low = is_low or loses
        if is_low or not asked.starts:
            self.stop(machine, OUTBID if is_low else "Exited by user")
        self._market.relist(ask)
        return machine, is_low

    def stop(self, machine: Rented, why: str = "Exited by user") -> None:
        """Its disk stays and bills. Raises: NotNow."""
        facts_of(machine).wants_to_run = False
        self._world.stop(machine, why)

    def start(self, machine: Rented) -> bool:
        """Whether it boots again: its GPUs must be free, and its contract must not be over."""
        facts = facts_of(machine)
        if facts.end_s <= self._world.clock.now_s():
            return False
        try:
            self._world.start(machine)
        except SoldOut:
            return False
        except NotNow:
            return machine.phase is not Phase.LOST
        facts.wants_to_run = True
        end_at_its_contract(machine, facts)
        return True

    def recycle(self, machine: Rented) -> None:
        """Its container is made anew; it keeps its GPUs and bills all the time. Raises: NotNow."""
        with self._world.lock:
            machine.keeps_disk = False
            try:
                self._world.start_anew(machine)
            finally:
                machine.keeps_disk = True
            now_s = self._world.clock.now_s()
            machine.meter(now_s, machine.usd_per_hour, machine.disk_usd_per_hour)

    def renew_boot(self, machine: Rented) -> None:
        """It will start with what is true now."""
        if machine.alive:
            machine.boot = self.boot(machine)

    def boot(self, machine: Rented) -> Boot:
        """How the container starts."""
        facts = facts_of(machine)
        kind = facts.host.kind
        asked = facts.asked
        launch = (LAUNCH, asked.onstart, start_modes(machine))
        argv = launch if asked.has_ssh else _own_command(asked)
        return Boot(
            machine_id=machine.id,
            argv=argv,
            environment=self._environment(machine, facts),
            gpu_name=kind.card.id,
            gpu_memory_mib=kind.ram_mb,
            gpu_count=0 if machine.without_gpus else machine.gpu_count,
            compute_capability=kind.card.compute_capability,
            cuda_version=str(facts.host.cuda),
            cuda_error=cuda_error(machine.faults),
            disk=machine.disks,
        )

    def account_keys(self, account: str) -> list[str]:
        """Public keys that every new instance of an account gets."""
        return self._world.accounts[PROVIDER, account].ssh_keys

    def _rent(self, ask: Ask, asked: CreateInstance, account: str) -> Rented:
        host = ask.host
        self._next_id += self._world.random.randrange(1, 400)
        instance_id = str(self._next_id)
        disk_usd = host.disk_usd_per_hour(asked.disk_gb)

        def to_boot(machine: Rented) -> Boot:
            machine.to_boot = lambda: self.boot(machine)
            machine.details[PROVIDER] = Facts(
                asked=asked,
                host=host,
                gpus=ask.gpus,
                label=asked.label,
                bid_usd=asked.bid_usd,
                key=self._keys.for_machine(account, machine.id).text,
                ports=self._map_ports(asked),
                end_s=host.end_s,
                disk_gb=asked.disk_gb,
            )
            return self.boot(machine)

        order = Order(
            provider=PROVIDER,
            account=account,
            label=asked.label or "",
            stock=host.stock,
            gpu_count=ask.gpus,
            data_center=host.place,
            machine_id=instance_id,
            gpu_usd_per_hour=asked.bid_usd,
            disk_usd_per_hour=disk_usd,
            stopped_usd_per_hour=disk_usd * _STOPPED_DISK_FACTOR,
            usd_per_gb_in=host.usd_per_gb_in,
            usd_per_gb_out=host.usd_per_gb_out,
            has_ssh=asked.is_direct and host.direct_ports > 0,
            has_proxy=asked.has_ssh,
            boots_free=True,
            keeps_disk=True,
            stays_when_lost=True,
            starting_share=_STARTING_SHARE,
            ssh_share=_SSH_SHARE,
        )
        with self._world.lock:
            try:
                machine = self._world.rent(order, to_boot)
            except SoldOut:
                raise no_such_ask(ask.id) from None
            spoil(machine, facts_of(machine), self._world.delay_s)
            return machine

    def _map_ports(self, asked: CreateInstance) -> dict[str, int]:
        """External ports, by chance; those from 70000 on are the same outside and inside."""
        first, last = _FIRST_PORT, _LAST_PORT
        return {
            f"{port}/{protocol}": self._world.random.randrange(first, last)
            for port, protocol in asked.ports
        }

    def _environment(self, machine: Rented, facts: Facts) -> dict[str, str]:
        """The variables of the container's first process; a login does not see them."""
        mapped = {
            f"VAST_{name.rpartition('/')[2].upper()}_PORT_{name.partition('/')[0]}": str(port)
            for name, port in facts.ports.items()
        }
        if machine.has_address:
            mapped["VAST_TCP_PORT_22"] = str(machine.ssh_port)
        keys = [*self.account_keys(machine.account), *facts.ssh_keys.values()]
        given = {} if "env_missing" in machine.faults else {"CONTAINER_API_KEY": facts.key}
        return {
            **self._world.backend.environment,
            **self._service_urls(machine),
            **facts.asked.variables,
            "CONTAINER_ID": machine.id,
            "VAST_CONTAINERLABEL": f"C.{machine.id}",
            **given,
            "PUBLIC_IPADDR": LOOPBACK,
            **mapped,
            "DATA_DIRECTORY": "/workspace/",
            "GPU_COUNT": str(machine.gpu_count),
            "SSH_PUBLIC_KEY": "\n".join(keys),
            "PYTORCH_VERSION": "2.8.0",
        }

    @staticmethod
    def _service_urls(machine: Rented) -> dict[str, str]:
        """Ways to the simulated servers; on the internet everybody knows the addresses."""
        names = {PROVIDER: "GPULEASE_VAST_URL", "hub": "HF_ENDPOINT"}
        return {
            names[name]: f"http://{LOOPBACK}:{link.port}"
            for name, link in machine.links.items()
            if name in names
        }


def _own_command(asked: CreateInstance) -> tuple[str, ...]:
    """Of runtype `args`: `onstart` is the entrypoint."""
    return (asked.onstart or "/bin/sh", *asked.args)
