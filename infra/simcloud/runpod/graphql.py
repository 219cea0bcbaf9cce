"""What is left of RunPod's GraphQL: balance, a pod's ways out, and what RunPod's SDK asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal

from infra.simcloud.keys import Key, Right
from infra.simcloud.orders import NotNow, SoldOut
from infra.simcloud.rented import EndedBy, Rented
from infra.simcloud.runpod.bodies import read_object
from infra.simcloud.runpod.graphql_pods import Row, gpu_row, pod_row, to_creates
from infra.simcloud.runpod.pods import Pods
from infra.simcloud.runpod.problems import NO_CAPACITY, NO_FREE_GPUS, Problem
from infra.simcloud.runpod.selection import Field, SyntaxProblem, parse
from infra.simcloud.runpod.shelves import PROVIDER
from infra.simcloud.runpod.switches import Switches
from infra.simcloud.stock import Stock
from infra.simcloud.web import Json, Reply, json_reply
from infra.simcloud.world import World

_OPEN_TO_ALL = ("gpuTypes",)
_MUTATIONS = (
    "podFindAndDeployOnDemand",
    "deployCpuPod",
    "podResume",
    "podStop",
    "podTerminate",
)
_FAULT = "INTERNAL_SERVER_ERROR"


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
            "podFindAndDeployOnDemand": self._deploy,
            "deployCpuPod": self._deploy_cpu,
            "podResume": self._resume,
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
                errors.append(
                    {
                        "message": refused.message,
                        "path": [field.name],
                        "extensions": {"code": _FAULT},
                    }
                )
            except SyntaxProblem as problem:
                return json_reply({"errors": [{"message": str(problem)}]}, 400)
        return json_reply({"data": result, **({"errors": errors} if errors else {})})

    def _myself(self, field: Field, key: Key | None) -> Json:
        if key is None:
            return None
        if key.right is Right.MACHINE:
            raise _Refused("Unauthorized")
        account = self._world.accounts[PROVIDER, key.account]
        mine = [one for one in self._world.of(PROVIDER, key.account) if one.alive]
        rate = sum((one.rate_usd_per_hour() for one in mine), Decimal(0))
        return _select(
            field,
            {
                "id": account.id,
                "clientBalance": float(self._world.accounts.balance_usd(PROVIDER, key.account)),
                "currentSpendPerHr": float(rate),
                "spendLimit": 80,
                "pods": lambda pods: [_select(pods, self._row(one)) for one in mine],
            },
        )

    def _pod(self, field: Field, key: Key | None) -> Json:
        if key is None or key.right is Right.MACHINE:
            raise _Refused("Unauthorized")
        machine = self._world.find(PROVIDER, key.account, _pod_id(field))
        return None if machine is None else _select(field, self._row(machine))

    def _gpu_types(self, field: Field, key: Key | None) -> Json:
        wanted = _input(field).get("id")
        shelves: dict[str, list[Stock]] = {}
        for stock in self._world.stock_of(PROVIDER):
            if wanted in (None, stock.card.id):
                shelves.setdefault(stock.card.id, []).append(stock)
        return [_select(field, gpu_row(found)) for found in shelves.values()]

    def _deploy(self, field: Field, key: Key | None) -> Json:
        if key is None or key.right is not Right.ALL:
            raise _Refused("Unauthorized")
        refusal = ""
        for asked in to_creates(_input(field)):
            try:
                return _select(field, self._row(self._pods.create(asked, key.account)))
            except Problem as problem:
                refusal = problem.detail
        raise _Refused(refusal)

    def _deploy_cpu(self, field: Field, key: Key | None) -> Json:
        raise _Refused(NO_CAPACITY)  # there are no CPU pods here

    def _resume(self, field: Field, key: Key | None) -> Json:
        machine = self._changeable(field, key, "pod not found")
        try:
            self._world.start(machine)
        except NotNow:
            raise _Refused("Something went wrong. Please try again later.") from None
        except SoldOut:
            raise _Refused(NO_FREE_GPUS) from None
        return _select(field, self._row(machine))

    def _stop(self, field: Field, key: Key | None) -> Json:
        machine = self._changeable(field, key, "pod not found")
        with suppress(NotNow):  # asked twice
            self._world.stop(machine)
        return _select(field, self._row(machine))

    def _terminate(self, field: Field, key: Key | None) -> Json:
        machine = self._changeable(field, key, "pod not found to terminate")
        assert key is not None
        self._world.end(machine, EndedBy.SELF if key.right is Right.MACHINE else EndedBy.API)
        return None

    def _changeable(self, field: Field, key: Key | None, missing: str) -> Rented:
        pod_id = _pod_id(field)
        may = key is not None and (
            key.right is Right.ALL
            or (
                key.right is Right.MACHINE
                and key.machine_id == pod_id
                and "graphql" in self._switches.pod_key_ways
            )
        )
        if key is None or not may:
            raise _Refused("Unauthorized")
        machine = self._world.find(PROVIDER, key.account, pod_id)
        if machine is None:
            raise _Refused(missing)
        return machine

    def _row(self, machine: Rented) -> Row:
        return pod_row(machine, self._pods.to_json(machine))


def graphql_failure() -> Reply:
    """What it answers, with 200, when something behind it fails."""
    message = "Something went wrong. Please try again later or contact support."
    error: Json = {"message": message, "extensions": {"code": _FAULT}}
    return json_reply({"errors": [error], "data": None})


def _select(field: Field, row: Row) -> Json:
    """Only what was asked for. Raises: SyntaxProblem."""
    if not field.selected:
        raise SyntaxProblem(f'Field "{field.name}" must have a selection of subfields.')
    chosen: dict[str, Json] = {}
    for one in field.selected:
        if one.name not in row:
            raise SyntaxProblem(f'Cannot query field "{one.name}" on "{field.name}".')
        known = row[one.name]
        value = known(one) if callable(known) else known
        if isinstance(value, dict):
            value = _select(one, value)
        elif isinstance(value, list) and not callable(known):
            value = [_select(one, item) if isinstance(item, dict) else item for item in value]
        chosen[one.name] = value
    return chosen


def _input(field: Field) -> Mapping[str, Json]:
    value = field.arguments.get("input")
    return value if isinstance(value, dict) else {}


def _pod_id(field: Field) -> str:
    return str(_input(field).get("podId", ""))
