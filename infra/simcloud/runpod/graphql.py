"""What is left of RunPod's GraphQL: balance, the pod-scoped key's ways out, a little catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal

from infra.simcloud.rented import EndedBy, Phase, Rented
from infra.simcloud.runpod.bodies import read_object
from infra.simcloud.runpod.keys import Key, Right
from infra.simcloud.runpod.pods import PROVIDER, Pods
from infra.simcloud.runpod.selection import Field, SyntaxProblem, parse
from infra.simcloud.runpod.switches import Switches
from infra.simcloud.stock import COMMUNITY, SECURE
from infra.simcloud.web import Json, Reply, json_reply
from infra.simcloud.world import NotNow, World

_OPEN_TO_ALL = ("gpuTypes",)
_MUTATIONS = ("podStop", "podTerminate")
_DESIRED = {Phase.STOPPED: "EXITED", Phase.FAILED: "EXITED"}


class _Refused(Exception):
    """An error in the `errors` list of a 200."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class GraphQl:
    """Answers POST /graphql: HTTP 200 with `errors` for nearly everything that goes wrong."""

    def __init__(self, world: World, pods: Pods, switches: Switches) -> None:
        self._world = world
        self._pods = pods
        self._switches = switches
        self._resolvers: dict[str, Callable[[Field, Key | None], Json]] = {
            "myself": self._myself,
            "pod": self._pod,
            "gpuTypes": self._gpu_types,
            "podStop": self._stop,
            "podTerminate": self._terminate,
        }

    def answer(self, body: bytes, key: Key | None) -> Reply:
        """One document. Raises: Problem for a body that is no JSON object."""
        data = read_object(body)
        variables = data.get("variables")
        known = variables if isinstance(variables, dict) else {}
        try:
            operation = parse(str(data.get("query", "")), known)
            for field in operation.fields:
                is_mutation = field.name in _MUTATIONS
                if field.name not in self._resolvers or is_mutation != (
                    operation.kind == "mutation"
                ):
                    kind = operation.kind.capitalize()
                    raise SyntaxProblem(f'Cannot query field "{field.name}" on type "{kind}".')
        except SyntaxProblem as problem:
            return json_reply({"errors": [{"message": str(problem)}]}, 400)
        result: dict[str, Json] = {}
        errors: list[Json] = []
        for field in operation.fields:
            try:
                result[field.name] = self._resolvers[field.name](field, key)
            except _Refused as refused:
                result[field.name] = None
                code = "INTERNAL_SERVER_ERROR"
                errors.append(
                    {
                        "message": refused.message,
                        "path": [field.name],
                        "extensions": {"code": code},
                    }
                )
            except SyntaxProblem as problem:
                return json_reply({"errors": [{"message": str(problem)}]}, 400)
        return json_reply({"data": result, **({"errors": errors} if errors else {})})

    def _myself(self, field: Field, key: Key | None) -> Json:
        if key is None:
            return None
        if key.right is Right.POD:
            raise _Refused("Unauthorized")
        account = self._world.accounts[key.account]
        mine = [one for one in self._world.of(PROVIDER, key.account) if one.alive]
        rate = sum((one.rate_usd_per_hour() for one in mine), Decimal(0))
        return _select(
            field,
            {
                "id": account.id,
                "clientBalance": float(self._world.balance_usd(key.account)),
                "currentSpendPerHr": float(rate),
                "spendLimit": 80,
                "pods": [self._row(one) for one in mine],
            },
        )

    def _pod(self, field: Field, key: Key | None) -> Json:
        if key is None or key.right is Right.POD:
            raise _Refused("Unauthorized")
        machine = self._world.find(PROVIDER, key.account, _pod_id(field))
        return None if machine is None else _select(field, self._row(machine))

    def _gpu_types(self, field: Field, key: Key | None) -> Json:
        wanted = _input(field).get("id")
        rows: list[Json] = []
        for card in {stock.card.id: stock.card for stock in self._world.stock}.values():
            if wanted not in (None, card.id):
                continue
            price = {
                stock.tier: float(stock.usd_per_gpu_hour)
                for stock in self._world.stock
                if stock.card.id == card.id
            }
            row: dict[str, Json] = {
                "id": card.id,
                "displayName": card.name,
                "memoryInGb": card.memory_gb,
                "secureCloud": SECURE in price,
                "communityCloud": COMMUNITY in price,
                "securePrice": price.get(SECURE),
                "communityPrice": price.get(COMMUNITY),
            }
            rows.append(_select(field, row))
        return rows

    def _stop(self, field: Field, key: Key | None) -> Json:
        machine = self._changeable(field, key, "pod not found")
        with suppress(NotNow):  # asked twice
            self._world.stop(machine)
        return _select(field, self._row(machine))

    def _terminate(self, field: Field, key: Key | None) -> Json:
        machine = self._changeable(field, key, "pod not found to terminate")
        assert key is not None
        self._world.end(machine, EndedBy.SELF if key.right is Right.POD else EndedBy.API)
        return None

    def _changeable(self, field: Field, key: Key | None, missing: str) -> Rented:
        pod_id = _pod_id(field)
        may = key is not None and (
            key.right is Right.ALL
            or (
                key.right is Right.POD
                and key.pod_id == pod_id
                and "graphql" in self._switches.pod_key_ways
            )
        )
        if key is None or not may:
            raise _Refused("Unauthorized")
        machine = self._world.find(PROVIDER, key.account, pod_id)
        if machine is None:
            raise _Refused(missing)
        return machine

    def _row(self, machine: Rented) -> dict[str, Json]:
        pod = self._pods.to_json(machine)
        return {
            "id": machine.id,
            "name": machine.label,
            "desiredStatus": _DESIRED.get(machine.phase, "RUNNING"),
            "lastStatusChange": "Rented by User",
            "costPerHr": pod["cost"],
            "gpuCount": machine.gpu_count,
            "machineId": f"host-{machine.id}",
            "runtime": self._runtime(machine, pod["runtime"]),
        }

    @staticmethod
    def _runtime(machine: Rented, runtime: Json) -> Json:
        if not isinstance(runtime, dict):
            return None
        port: Json = {
            "ip": "127.0.0.1",
            "isIpPublic": True,
            "privatePort": 22,
            "publicPort": machine.ssh_port,
            "type": "tcp",
        }
        return {"uptimeInSeconds": runtime["uptime"], "ports": [port]}


def _select(field: Field, row: Mapping[str, Json]) -> Json:
    """Only what was asked for. Raises: SyntaxProblem."""
    if not field.selected:
        raise SyntaxProblem(f'Field "{field.name}" must have a selection of subfields.')
    chosen: dict[str, Json] = {}
    for one in field.selected:
        if one.name not in row:
            raise SyntaxProblem(f'Cannot query field "{one.name}" on "{field.name}".')
        value = row[one.name]
        if isinstance(value, dict):
            value = _select(one, value)
        elif isinstance(value, list):
            value = [_select(one, item) if isinstance(item, dict) else item for item in value]
        chosen[one.name] = value
    return chosen


def _input(field: Field) -> Mapping[str, Json]:
    value = field.arguments.get("input")
    return value if isinstance(value, dict) else {}


def _pod_id(field: Field) -> str:
    return str(_input(field).get("podId", ""))
