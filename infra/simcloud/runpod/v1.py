"""REST v1 while it still lives: what a pod looks like there, its end, and its other errors."""

from __future__ import annotations

from infra.simcloud.keys import Key, Right
from infra.simcloud.orders import NotNow
from infra.simcloud.rented import EndedBy, Rented
from infra.simcloud.runpod.graphql_pods import desired_status, last_status_change
from infra.simcloud.runpod.pods import pod_facts
from infra.simcloud.runpod.shelves import PROVIDER
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World


class OldPods:
    """Answers `/v1/pods`; a key of a pod may do nothing here (seen with stop, 2026-08)."""

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, request: Request, key: Key | None) -> Reply:
        """One call. An error is told as no other surface tells it."""
        if key is None:
            return _error(401, "Unauthorized")
        if key.right is Right.MACHINE or (key.right is Right.READ_ONLY and request.method != "GET"):
            return _error(403, "Forbidden")
        match (request.method, *request.parts[1:]):
            case ("GET", "pods"):
                mine = self._world.of(PROVIDER, key.account)
                return json_reply([self._row(one) for one in mine if one.alive])
            case ("GET", "pods", pod_id):
                machine = self._world.find(PROVIDER, key.account, pod_id)
                return json_reply(self._row(machine)) if machine else _error(404, "pod not found")
            case ("DELETE", "pods", pod_id):
                return self._change(pod_id, key, "delete")
            case ("POST", "pods", pod_id, ("start" | "stop" | "restart") as action):
                return self._change(pod_id, key, action)
        return _error(404, "not found")

    def _change(self, pod_id: str, key: Key, action: str) -> Reply:
        machine = self._world.find(PROVIDER, key.account, pod_id)
        if machine is None:
            return _error(404, "pod not found")
        try:
            if action == "delete":
                self._world.end(machine, EndedBy.API)
                return Reply(204)
            if action == "stop":
                self._world.stop(machine)
            elif action == "start":
                self._world.start(machine)
        except NotNow:
            return _error(500, "Something went wrong. Please try again later.")
        return json_reply(self._row(machine))  # a restart answers, and does nothing

    def _row(self, machine: Rented) -> dict[str, Json]:
        facts, now_s = pod_facts(machine), self._world.clock.now_s()
        is_shown = machine.is_up and machine.shows_address(now_s)
        return {
            "id": machine.id,
            "name": machine.label,
            "desiredStatus": desired_status(machine),
            "lastStatusChange": last_status_change(machine),
            "costPerHr": str(round(machine.rate_usd_per_hour(), 6)),  # a text, as documented
            "image": facts.asked.image,
            "env": dict(facts.asked.env),
            "ports": list(facts.asked.ports),
            "publicIp": "127.0.0.1" if is_shown else "",
            "portMappings": {"22": machine.shown_port(now_s)} if is_shown else None,
            "gpu": {"id": machine.stock.card.id, "count": machine.gpu_count},
            "machineId": f"host-{machine.id}",
            "memoryInGb": machine.stock.card.ram_gb * machine.gpu_count,
            "vcpuCount": machine.stock.card.vcpus * machine.gpu_count,
            "interruptible": False,
            "locked": False,
        }


def _error(status: int, message: str) -> Reply:
    return json_reply({"error": message, "status": status}, status)
