"""What a team keeps beside machines: startup scripts, static addresses, snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.simcloud.paperspace.bodies import read_object
from infra.simcloud.paperspace.machines import facts_of
from infra.simcloud.paperspace.problems import bad, no_such
from infra.simcloud.paperspace.shown import iso
from infra.simcloud.paperspace.switches import Switches
from infra.simcloud.paperspace.types import PROVIDER
from infra.simcloud.rented import Rented
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World


@dataclass(slots=True)
class Script:
    """A startup script; what is in it is never told."""

    id: str
    name: str
    text: str
    is_run_once: bool
    made_s: float
    machine_ids: list[str] = field(default_factory=list)
    is_enabled: bool = True


class Things:
    """Those of every team."""

    def __init__(self, world: World, switches: Switches) -> None:
        self._world = world
        self._switches = switches
        self._scripts: dict[str, list[Script]] = {}  # by account
        self._released: set[str] = set()  # static addresses that are no machine's any more
        self._deleted: set[str] = set()  # and those that are nobody's
        self._snapshots: dict[str, list[dict[str, Json]]] = {}

    def script(self, account: str, script_id: str) -> Script:
        """Raises: Problem."""
        found = (one for one in self._scripts.get(account, []) if one.id == script_id)
        if (script := next(found, None)) is None:
            raise no_such("Startup script")
        return script

    def scripts(self, account: str) -> list[dict[str, Json]]:
        """Rows, the newest first."""
        return [self._script_json(one) for one in reversed(self._scripts.get(account, []))]

    def change_scripts(self, request: Request, rest: tuple[str, ...], account: str) -> Reply:
        """POST, PUT, DELETE of scripts, and whose they are. Raises: Problem."""
        mine = self._scripts.setdefault(account, [])
        match (request.method, *rest):
            case ("POST",):
                body = read_object(request, {"name": str, "script": str, "isRunOnce": bool})
                if not body.get("name") or "script" not in body:
                    raise bad("name and script: Required")
                script = Script(
                    f"ss{self._world.word(8)}",
                    str(body["name"]),
                    str(body["script"]),
                    body.get("isRunOnce") is True,
                    self._world.clock.now_s(),
                )
                mine.append(script)
                return json_reply(self._script_json(script))
            case ("GET", script_id):
                return json_reply(self._script_json(self.script(account, script_id)))
            case ("DELETE", script_id):
                script = self.script(account, script_id)
                mine.remove(script)
                row = self._script_json(script)
                return json_reply(row | {"dtDeleted": iso(self._world.clock.now_s())})
            case ("POST", script_id, "assign" | "unassign" as act):
                script = self.script(account, script_id)
                machine_id = str(read_object(request, {"machineId": str}).get("machineId"))
                if machine_id in script.machine_ids and act == "unassign":
                    script.machine_ids.remove(machine_id)
                elif act == "assign":
                    script.machine_ids.append(machine_id)
                return json_reply(self._script_json(script))
        raise no_such("Route")

    def ips(self, account: str) -> list[dict[str, Json]]:
        """Rows of static addresses, also of machines that are gone."""
        return [
            self._ip_json(machine)
            for machine in self._world.of(PROVIDER, account)
            if facts_of(machine).has_static_ip and facts_of(machine).ip not in self._deleted
        ]

    def change_ips(self, request: Request, rest: tuple[str, ...], account: str) -> Reply:
        """PUT and DELETE of a static address. Raises: Problem."""
        mine = (one for one in self._world.of(PROVIDER, account) if facts_of(one).has_static_ip)
        machine = next((one for one in mine if (facts_of(one).ip,) == rest[:1]), None)
        if machine is None or facts_of(machine).ip in self._deleted:
            raise no_such("Public IP")
        ip = facts_of(machine).ip
        match request.method:
            case "PUT":
                body = read_object(request, {"machineId": (str, type(None))})
                if "machineId" not in body:
                    raise bad("machineId: Required")
                if body["machineId"] is None:
                    self._released.add(ip)
                return json_reply(self._ip_json(machine))
            case "DELETE":
                self._deleted.add(ip)
                return json_reply({"ip": ip})
        raise no_such("Route")

    def snapshots(self, account: str) -> list[dict[str, Json]]:
        """Rows of snapshots, also of machines that are gone, the newest first."""
        return self._snapshots.get(account, [])[::-1]

    def take_snapshot(self, machine: Rented, *, is_auto: bool) -> None:
        """One more, which outlives its machine."""
        row: dict[str, Json] = {
            "id": f"sn{self._world.word(8)}",
            "name": f"{facts_of(machine).name} snapshot",
            "machineId": machine.id,
            "isAutoSnapshot": is_auto,
        }
        self._snapshots.setdefault(machine.account, []).append(row)

    def delete_snapshot(self, snapshot_id: str, account: str) -> dict[str, Json]:
        """The one that was deleted. Raises: Problem."""
        mine = self._snapshots.get(account, [])
        row = next((one for one in mine if one["id"] == snapshot_id), None)
        if row is None:
            raise no_such("Snapshot")
        mine.remove(row)
        return row

    def _script_json(self, script: Script) -> dict[str, Json]:
        ids = [
            one
            for one in script.machine_ids
            if not self._switches.script_forgets or self._world.machines[one].alive
        ]
        return {
            "id": script.id,
            "name": script.name,
            "description": None,
            "isEnabled": script.is_enabled,
            "isRunOnce": script.is_run_once,
            "assignedMachineIds": [*ids],
            "dtCreated": iso(script.made_s),
            "dtDeleted": None,
        }

    def _ip_json(self, machine: Rented) -> dict[str, Json]:
        facts = facts_of(machine)
        row: dict[str, Json] = {
            "ip": facts.ip,
            "region": facts.region,
            "dtCreated": iso(machine.created_s),
        }
        if facts.ip not in self._released:
            row["assignedMachineId"] = machine.id
        return row
