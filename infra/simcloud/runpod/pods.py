"""Pods: placing them, what they find inside, and how v2 shows them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from infra.simcloud.keys import Keys
from infra.simcloud.machines import Boot
from infra.simcloud.mishaps import cuda_error
from infra.simcloud.net import LOOPBACK
from infra.simcloud.orders import Order, SoldOut
from infra.simcloud.rented import Phase, Rented
from infra.simcloud.runpod.bodies import CreatePod
from infra.simcloud.runpod.problems import NO_CAPACITY, Problem
from infra.simcloud.runpod.shelves import DATA_CENTERS, PROVIDER
from infra.simcloud.runpod.timestamps import timestamp
from infra.simcloud.stock import Stock
from infra.simcloud.web import Json
from infra.simcloud.world import World

_GB_MONTH_USD = Decimal("0.10")  # container and volume disk of a running pod (docs, 2026-11)
_GB_MONTH_STOPPED_USD = Decimal("0.20")  # volume disk of a stopped one
_HOURS_PER_MONTH = 730
_LARGEST_DISK_GB = 4000
_STATUS = {
    Phase.PLACED: "PROVISIONING",
    Phase.STARTING: "STARTING",
    Phase.RUNNING: "RUNNING",
    Phase.STOPPED: "EXITED",
    Phase.FAILED: "ERROR",
    Phase.ENDED: "TERMINATED",
}
_ACTIONS: dict[Phase, list[Json]] = {
    Phase.PLACED: ["stop", "terminate"],
    Phase.STARTING: ["stop", "terminate"],
    Phase.RUNNING: ["stop", "restart", "terminate"],
    Phase.STOPPED: ["start", "terminate"],
    Phase.FAILED: ["start", "terminate"],
    Phase.ENDED: [],
}


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What a pod keeps of its create."""

    asked: CreatePod
    proxy_user: str
    key: str


class Pods:
    """Rents machines of the world as pods."""

    def __init__(self, world: World, keys: Keys, service: str = PROVIDER) -> None:
        self._world = world
        self._keys = keys
        self._service = service

    def create(self, asked: CreatePod, account: str) -> Rented:
        """Place a pod. Raises: Problem."""
        stock = self._stock(asked)
        usd_per_hour = stock.usd_per_gpu_hour * asked.gpu_count
        if self._world.accounts.balance_usd(PROVIDER, account) < usd_per_hour:
            raise Problem(402, "your balance is too low to rent this pod for one hour")
        order = Order(
            provider=PROVIDER,
            account=account,
            label=asked.name,
            stock=stock,
            gpu_count=asked.gpu_count,
            data_center=self._data_center(asked, stock),
            disk_usd_per_hour=_disk_usd_per_hour(asked.disk_gb + asked.volume_gb, _GB_MONTH_USD),
            stopped_usd_per_hour=_disk_usd_per_hour(asked.volume_gb, _GB_MONTH_STOPPED_USD),
            has_ssh="22/tcp" in asked.ports,
        )

        def to_boot(machine: Rented) -> Boot:
            machine.to_boot = lambda: self.boot(machine)
            machine.details["pod"] = PodFacts(
                asked=asked,
                proxy_user=f"{machine.id}-64{self._world.random.randrange(16**6):06x}",
                key=self._keys.for_machine(account, machine.id).text,
            )
            return self.boot(machine)

        try:
            return self._world.rent(order, to_boot)
        except SoldOut:
            raise Problem(400, NO_CAPACITY) from None

    def boot(self, machine: Rented) -> Boot:
        """How the pod's container starts."""
        facts = pod_facts(machine)
        card = machine.stock.card
        return Boot(
            machine_id=machine.id,
            argv=facts.asked.argv,
            environment=self._environment(machine, facts),
            gpu_name=card.id,
            gpu_memory_mib=card.memory_gb * 1024,
            gpu_count=0 if machine.without_gpus else machine.gpu_count,
            compute_capability=card.compute_capability,
            cuda_version=machine.stock.cuda_versions[0],
            cuda_error=cuda_error(machine.faults),
            disk=machine.disks,
        )

    def to_json(self, machine: Rented, *, lagging: bool = False) -> dict[str, Json]:
        """A pod on the wire; `lagging`: as a list that lags shows one that has ended."""
        facts = pod_facts(machine)
        phase = machine.shown_phase if lagging and not machine.alive else machine.phase
        never_starts = machine.never_starts and phase is Phase.STARTING
        now_s = self._world.clock.now_s()
        runs = phase is Phase.RUNNING
        shows_runtime = runs or (phase is Phase.STOPPED and machine.shows_stale_runtime)
        direct = self._direct(machine, now_s) if shows_runtime else None
        rate = (
            machine.usd_per_hour if lagging and not machine.alive else machine.rate_usd_per_hour()
        )
        return {
            "id": machine.id,
            "name": machine.label,
            "status": _STATUS[Phase.RUNNING if never_starts else phase],
            "actions": _ACTIONS[Phase.RUNNING if never_starts else phase],
            "image": facts.asked.image,
            "args": facts.asked.args,
            "disk": facts.asked.disk_gb,
            "mounts": facts.asked.mounts,
            "ports": list(facts.asked.ports),
            "env": dict(facts.asked.env),
            "registry": None,
            "gpu": {
                "id": machine.stock.card.id,
                "count": 0 if machine.without_gpus else machine.gpu_count,
                "vcpuCount": machine.stock.card.vcpus * machine.gpu_count,
                "memory": machine.stock.card.ram_gb * machine.gpu_count,
            },
            "cloud": machine.stock.tier,
            "dataCenterId": machine.data_center,
            "cudaVersion": machine.stock.cuda_versions[0],
            "ssh": {"proxy": _proxy(facts), "direct": direct},
            "template": None,
            "cost": 0.0 if phase is Phase.STOPPED else float(round(rate, 6)),
            "locked": False,
            "globalNetworking": {"enabled": False},
            "runtime": self._runtime(machine, now_s) if shows_runtime else None,
            "createdAt": timestamp(machine.created_s),
            "startedAt": timestamp(machine.started_s) if machine.started_s and runs else None,
        }

    def _stock(self, asked: CreatePod) -> Stock:
        """The shelf that a create takes from. Raises: Problem."""
        known = [stock for stock in self._world.stock_of(PROVIDER) if stock.card.id == asked.gpu_id]
        if not known:
            raise Problem(400, f"unknown gpu id {asked.gpu_id!r}")
        if asked.disk_gb > _LARGEST_DISK_GB:
            raise Problem(
                400, "There are no longer any instances available with enough disk space."
            )
        least = version_number(asked.least_cuda or "0.0")
        for stock in known:
            fits = [
                version
                for version in stock.cuda_versions
                if version_number(version) >= least
                and (not asked.allowed_cuda or version in asked.allowed_cuda)
            ]
            if stock.tier == asked.cloud and fits and asked.gpu_count <= stock.largest:
                return stock
        raise Problem(400, NO_CAPACITY)

    def _data_center(self, asked: CreatePod, stock: Stock) -> str | None:
        """Where it is placed; the wish is a rule (live, 2026-08-18). Raises: Problem."""
        known = [center.id for center in DATA_CENTERS]
        if unknown := [name for name in asked.data_centers if name not in known]:
            raise Problem(400, f"unknown data center {unknown[0]!r}; valid: {', '.join(known)}")
        if asked.data_centers and not set(asked.data_centers) & set(stock.data_centers):
            raise Problem(400, NO_CAPACITY)
        fits = [
            name
            for name in stock.data_centers
            if not asked.data_centers or name in asked.data_centers
        ]
        return self._world.random.choice(fits) if fits else None

    def _environment(self, machine: Rented, facts: PodFacts) -> dict[str, str]:
        """The variables of the container; those of the platform shadow the user's."""
        keys = "\n".join(self._world.accounts[PROVIDER, machine.account].ssh_keys)
        injected = {"PUBLIC_KEY": keys} if facts.asked.start_ssh and keys else {}
        return {
            **self._world.backend.environment,
            "CUDA_VERSION": "12.8.1",
            "PYTORCH_VERSION": "2.8.0",
            **self.service_urls(machine),
            **injected,
            **facts.asked.env,
            "RUNPOD_POD_ID": machine.id,
            "RUNPOD_API_KEY": facts.key,
            "RUNPOD_DC_ID": machine.data_center or "",
            "RUNPOD_POD_HOSTNAME": facts.proxy_user,
            "RUNPOD_GPU_COUNT": str(machine.gpu_count),
            "RUNPOD_CPU_COUNT": str(machine.stock.card.vcpus * machine.gpu_count),
            "RUNPOD_PUBLIC_IP": LOOPBACK,
            "RUNPOD_TCP_PORT_22": str(machine.ssh_port),
        }

    def service_urls(self, machine: Rented) -> dict[str, str]:
        """Ways to the simulated servers, through relays of the machine's own.

        Only simcloud's image has them: on the internet everybody knows the addresses.
        """
        ports = {name: link.port for name, link in machine.links.items()}
        urls = {}
        if self._service in ports:
            base = f"http://{LOOPBACK}:{ports[self._service]}"
            urls["GPULEASE_RUNPOD_URL"] = f"{base}/v2"
            urls["GPULEASE_RUNPOD_GRAPHQL_URL"] = f"{base}/graphql"
        if "hub" in ports:
            urls["HF_ENDPOINT"] = f"http://{LOOPBACK}:{ports['hub']}"
        return urls

    def _direct(self, machine: Rented, now_s: float) -> Json:
        port = machine.shown_port(now_s)
        if not machine.shows_address(now_s) or port is None:
            return None
        user = self._world.backend.user
        command = f"ssh {user}@{LOOPBACK} -p {port}"
        return {"host": LOOPBACK, "port": port, "username": user, "command": command}

    def _runtime(self, machine: Rented, now_s: float) -> Json:
        ports: list[Json] = []
        if machine.shows_address(now_s):
            port = machine.shown_port(now_s)
            ports.append({"private": 22, "public": port, "type": "tcp", "ip": LOOPBACK})
        return {
            "uptime": max(0, int(now_s - (machine.started_s or now_s))),
            "gpus": [{"util": 0, "memoryUtil": 0} for _ in range(machine.gpu_count)],
            "cpu": {"util": 3},
            "memory": {"util": 2},
            "ports": ports,
        }


def version_number(text: str) -> tuple[int, ...]:
    """A version in its own order.

    >>> version_number("12.11") > version_number("12.8")
    True
    """
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def pod_facts(machine: Rented) -> PodFacts:
    """What a machine of these keeps of its create."""
    return cast(PodFacts, machine.details["pod"])


def _proxy(facts: PodFacts) -> Json:
    host, user = "ssh.runpod.io", facts.proxy_user
    return {"host": host, "port": 22, "username": user, "command": f"ssh {user}@{host}"}


def _disk_usd_per_hour(disk_gb: int, gb_month_usd: Decimal) -> Decimal:
    return disk_gb * gb_month_usd / _HOURS_PER_MONTH
