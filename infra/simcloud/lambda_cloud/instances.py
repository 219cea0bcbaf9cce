"""Instances: launching them, what they boot with, how the API shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from infra.simcloud.lambda_cloud.bodies import Launch, host_key_of
from infra.simcloud.lambda_cloud.problems import no_capacity, no_such, quota_exceeded
from infra.simcloud.lambda_cloud.switches import Switches
from infra.simcloud.lambda_cloud.types import (
    FAMILIES,
    PROVIDER,
    REGIONS,
    Kind,
    find_kind,
    images_json,
    kind_json,
    region_json,
    shelf_of,
)
from infra.simcloud.machines import Boot
from infra.simcloud.mishaps import cuda_error
from infra.simcloud.net import LOOPBACK
from infra.simcloud.orders import Order, SoldOut
from infra.simcloud.rented import Phase, Rented
from infra.simcloud.web import Json
from infra.simcloud.world import World

START = "/.cloud-init"
USER = "ubuntu"
_ACTIONS = ("migrate", "rebuild", "restart", "cold_reboot", "terminate")
_PUBLIC_NET = "127.64"  # each machine has a loopback address of its own


@dataclass(slots=True)
class SshKey:
    """A registered key; instances take it at their launch alone."""

    id: str
    name: str
    public_key: str

    def to_json(self) -> dict[str, Json]:
        return {"id": self.id, "name": self.name, "public_key": self.public_key}


@dataclass(slots=True)
class Facts:
    """What an instance keeps of its launch."""

    asked: Launch
    kind: Kind
    public_key: str
    name: str
    ip: str
    number: int


class Instances:
    """Rents machines of the world as instances."""

    def __init__(self, world: World, switches: Switches) -> None:
        self._world = world
        self._switches = switches
        self.keys: dict[str, list[SshKey]] = {}  # by account
        self.port = 22  # of every sshd, set when the API is served

    def launch(self, asked: Launch, account: str) -> Rented:
        """Fields were read; then what they name, the quota, and capacity. Raises: Problem."""
        switches, world = self._switches, self._world
        missing = switches.missing_status
        kind = find_kind(asked.kind)
        if kind is None:
            raise no_such("instance type", status=missing)
        if asked.region not in REGIONS:
            raise no_such("region", status=missing)
        keys = {key.name: key for key in self.keys.get(account, [])}
        if asked.key not in keys:
            raise no_such("SSH key", status=missing)
        self._check_image(asked, missing)
        if asked.file_systems or asked.rulesets:
            raise no_such("filesystem or ruleset", status=missing)
        living = sum(1 for machine in world.of(PROVIDER, account) if machine.alive)
        if switches.most_instances and living >= switches.most_instances:
            raise quota_exceeded()
        shelf = shelf_of(world.stock_of(PROVIDER), kind, asked.region)
        if shelf is None:
            raise no_capacity()

        number = len(world.machines) + 1
        ip = f"{_PUBLIC_NET}.{number // 250 % 250}.{1 + number % 250}"

        def to_boot(machine: Rented) -> Boot:
            facts = Facts(asked, kind, keys[asked.key].public_key, asked.name, ip, number)
            machine.details[PROVIDER] = facts
            return self.boot(machine)

        order = Order(
            provider=PROVIDER,
            account=account,
            label=asked.name,
            stock=shelf,
            gpu_count=kind.gpus,
            data_center=asked.region,
            machine_id=f"{world.random.getrandbits(128):032x}",
            gpu_usd_per_hour=Decimal(kind.cents) / 100,
            boots_free=not switches.bills_from_launch,
            address=(ip, self.port),
            billing_increment_s=60,
            boot_factor=4.0 if kind.gpus >= 8 else 1.0,
            is_container=False,
        )
        try:
            return world.rent(order, to_boot)
        except SoldOut:
            raise no_capacity() from None

    def boot(self, machine: Rented) -> Boot:
        """How the virtual machine starts."""
        facts = facts_of(machine)
        backend = self._world.backend
        links = {name: f"http://{LOOPBACK}:{link.port}" for name, link in machine.links.items()}
        hub = {"HF_ENDPOINT": links["hub"]} if "hub" in links else {}
        return Boot(
            machine_id=machine.id,
            argv=(START,),
            environment={
                **backend.environment,
                **hub,
                "SIMCLOUD_SSH_KEY": facts.public_key,
                "SIMCLOUD_HOST_KEY": host_key_of(facts.asked.user_data),
                "SIMCLOUD_CLOUD_INIT_S": f"{self._world.delay_s(self._switches.cloud_init_s):.3f}",
                # Only where the files of the machine are its own is there somebody to add.
                "SIMCLOUD_LOGIN": USER if backend.kind == "namespaces" else "",
            },
            gpu_name=facts.kind.card.id,
            gpu_memory_mib=facts.kind.card.memory_gb * 1024,
            gpu_count=0 if machine.without_gpus else machine.gpu_count,
            compute_capability=facts.kind.card.compute_capability,
            cuda_error=cuda_error(machine.faults),
            disk=machine.disks,
        )

    def status(self, machine: Rented) -> str:
        """In Lambda's words; "" once the API knows it no longer."""
        now_s = self._world.clock.now_s()
        if machine.ended_s is not None:
            if now_s < machine.ended_s + self._world.delay_s(self._switches.terminating_s):
                return "terminating"
            return "" if self._switches.after_end == "unknown" else "terminated"
        if "born_unhealthy" in machine.faults and now_s >= machine.due_s:
            return "unhealthy"
        if machine.phase is Phase.FAILED:
            return "unhealthy"
        return "active" if machine.phase is Phase.RUNNING else "booting"

    def to_json(self, machine: Rented) -> dict[str, Json]:
        """One instance on the wire."""
        facts, switches = facts_of(machine), self._switches
        status = self.status(machine) or "terminated"  # just now, where nothing lingers
        cents = round(machine.usd_per_hour * 100)
        kind = kind_json(facts.kind, later=switches.shows_later_fields, cents=cents)
        row: dict[str, Json] = {
            "id": machine.id,
            "status": status,
            "ssh_key_names": [facts.asked.key],
            "file_system_names": [],
            "region": region_json(facts.asked.region),
            "instance_type": kind,
            "actions": _actions(status),
            "tags": facts.asked.tags,
        }
        if facts.name:
            row["name"] = facts.name
        if self._shows_ip(machine):
            row["ip"] = facts.ip
            row["hostname"] = facts.asked.hostname or facts.ip.replace(".", "-")
            row["jupyter_token"] = f"secret-{machine.id[:8]}"
            if switches.has_private_ip:
                row["private_ip"] = f"10.19.{facts.number // 250 % 250}.{1 + facts.number % 250}"
        if switches.shows_later_fields:
            healthy = machine.started_s
            row["first_healthy"] = _iso(healthy) if healthy is not None else None
        return row

    def _shows_ip(self, machine: Rented) -> bool:
        boot_s = machine.due_s - machine.created_s
        return self._world.clock.now_s() >= machine.created_s + self._switches.ip_share * boot_s

    @staticmethod
    def _check_image(asked: Launch, missing: int) -> None:
        known_ids = {row["id"] for row in images_json() if isinstance(row, dict)}
        family, image_id = asked.image.get("family"), asked.image.get("id")
        if (family is not None and family not in FAMILIES) or (
            image_id is not None and image_id not in known_ids
        ):
            raise no_such("image", status=missing)


def facts_of(machine: Rented) -> Facts:
    """What a machine of these keeps of its launch."""
    return cast(Facts, machine.details[PROVIDER])


def _actions(status: str) -> dict[str, Json]:
    if status == "active":
        return {name: {"available": True} for name in _ACTIONS}
    code = "vm-has-not-launched" if status == "booting" else "vm-is-terminating"
    barred: Json = {"available": False, "reason_code": code, "reason_description": "Not now."}
    able: Json = {"available": True}
    may_end = status in ("booting", "unhealthy")
    return {name: able if name == "terminate" and may_end else barred for name in _ACTIONS}


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()
