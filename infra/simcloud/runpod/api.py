"""The front door: routes, keys, rate headers and faults of RunPod's API."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Mapping
from dataclasses import replace

from infra.simcloud.accounts import NAMES
from infra.simcloud.broken import Act, carry_out
from infra.simcloud.faults import Fault
from infra.simcloud.keys import Key, Keys, Right
from infra.simcloud.orders import NotNow, SoldOut
from infra.simcloud.rented import EndedBy, Rented
from infra.simcloud.runpod import billing, catalog, logs
from infra.simcloud.runpod.bodies import read_action, read_create, read_object
from infra.simcloud.runpod.graphql import GraphQl, graphql_failure
from infra.simcloud.runpod.pods import Pods
from infra.simcloud.runpod.problems import NO_CAPACITY, NO_FREE_GPUS, Problem, html_502, invalid
from infra.simcloud.runpod.quotas import Quotas
from infra.simcloud.runpod.shelves import PROVIDER, default_stock
from infra.simcloud.runpod.switches import Switches
from infra.simcloud.runpod.v1 import OldPods
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_LARGEST_PAGE = 1000
_DONE_FIRST = ("5xx_after", "delete_5xx_done", "reply_lost", "timeout_after", "unreadable")


class RunPodApi:
    """Answers every request to RunPod's addresses."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.stock += default_stock()
        for name in NAMES:
            world.accounts.open(PROVIDER, name, f"user_{world.word(18)}")
        self.switches = Switches()
        self.keys = Keys(world, "rpa_")
        self._pods = Pods(world, self.keys)
        self._graphql = GraphQl(world, self._pods, self.switches)
        self._v1 = OldPods(world)
        self._quotas = Quotas(world.clock)
        self._lock = threading.Lock()
        self._answered = 0

    def __call__(self, request: Request) -> Reply:
        self.world.settle()
        headers = {"x-request-id": self._number()}
        try:
            if request.parts[:1] == ("v2",):  # the others say nothing of rates
                headers |= self._rates(request)
            reply = self._route(request)
        except Problem as problem:
            reply = problem.reply()
        self.world.record(
            PROVIDER, request.method, request.path, None if reply.cut else reply.status
        )
        return replace(reply, headers=headers | dict(reply.headers))

    def environment(self, url: str, user: str) -> dict[str, str]:
        """What leads to it."""
        return {
            "GPULEASE_RUNPOD_URL": f"{url}/v2",
            "GPULEASE_RUNPOD_GRAPHQL_URL": f"{url}/graphql",
            "GPULEASE_RUNPOD_SSH_USER": user,
            "RUNPOD_API_KEY": self.keys.main.text,
            "SIMCLOUD_RUNPOD_READ_ONLY_KEY": self.keys.read_only.text,
            "SIMCLOUD_RUNPOD_OTHER_KEY": self.keys.other.text,
        }

    def _route(self, request: Request) -> Reply:
        if self.switches.refuses_urllib and "Python-urllib" in request.headers.get(
            "user-agent", ""
        ):
            return Reply(403, b"<html>error code: 1010</html>", {"Content-Type": "text/html"})
        match request.parts:
            case ("graphql",):
                return self._graphql_call(request)
            case ("v1", *_):
                if self.switches.v1_gone:
                    raise Problem(410, "REST v1 was switched off")
                return self._v1.answer(request, self.keys.find(_authorization(request)))
            case ("v2", "pods", *rest):
                return self._pods_call(request, tuple(rest))
            case ("v2", "catalog", *rest):
                return self._catalog_call(request, tuple(rest))
            case ("v2", "billing", "pods"):
                return self._billing_call(request)
            case ("v2", "account", "ssh-keys"):
                return self._ssh_keys_call(request)
        raise Problem(404, "The requested path was not found.")

    def _pods_call(self, request: Request, rest: tuple[str, ...]) -> Reply:
        match (request.method, *rest):
            case ("POST",):
                key = self._key(request, "create", writes=True)
                return self._create(request, key)
            case ("GET",):
                key = self._key(request, "list")
                facts = {"page": "next" if "cursor" in request.query else "first"}
                return self._do("list", facts, lambda: self._list(request, key))
            case ("GET", pod_id):
                key = self._key(request, "get")
                return self._do("get", {"id": pod_id}, lambda: self._get(pod_id, key))
            case ("DELETE", pod_id):
                key = self._key(request, "delete", writes=True, pod_id=pod_id)
                return self._do("delete", {"id": pod_id}, lambda: self._end(pod_id, key))
            case ("POST", pod_id, "action"):
                action = read_action(request.body)
                key = self._key(request, action, writes=True, pod_id=pod_id)
                facts = {"id": pod_id, "action": action}
                return self._do("action", facts, lambda: self._action(pod_id, action, key))
            case ("GET", pod_id, "logs"):
                key = self._key(request, "logs")
                facts = {"id": pod_id}
                return self._do("logs", facts, lambda: logs.stream(self._pod(pod_id, key), request))
        raise _not_allowed({0: "GET, POST", 1: "GET, DELETE"}.get(len(rest), "GET"))

    def _catalog_call(self, request: Request, rest: tuple[str, ...]) -> Reply:
        if request.method != "GET":
            raise _not_allowed("GET")
        self._key(request, "catalog")
        return self._do("catalog", {}, lambda: json_reply(self._catalog(rest, request.query)))

    def _catalog(self, rest: tuple[str, ...], query: Mapping[str, str]) -> dict[str, Json]:
        match rest:
            case ("gpus",):
                return catalog.list_gpus(self.world, query, odd=self.switches.odd_catalog)
            case ("gpus", gpu_id):
                return catalog.get_gpu(self.world, gpu_id, query)
            case ("datacenters",):
                return catalog.list_data_centers(self.world, query)
        raise Problem(404, "The requested path was not found.")

    def _billing_call(self, request: Request) -> Reply:
        key = self._key(request, "billing")
        fault = self.world.faults.standing(PROVIDER, "billing_lag_s")
        lag_s = fault.seconds(3600.0) if fault else self.switches.billing_lag_s
        lag_s = self.world.delay_s(lag_s)

        def answer() -> Reply:
            rows = billing.list_records(self.world, key.account, request.query, lag_s=lag_s)
            size, says = self.switches.bill_page_size, self.switches.says_pages
            cursor = request.query.get("cursor", "")
            return json_reply(billing.one_page(rows, cursor, size=size, says=says))

        return self._do("billing", {}, answer)

    def _ssh_keys_call(self, request: Request) -> Reply:
        key = self._key(request, "account", writes=request.method != "GET")
        account = self.world.accounts[PROVIDER, key.account]

        def answer() -> Reply:
            if request.method == "PUT":
                keys = read_object(request.body).get("keys")
                if not isinstance(keys, list):
                    raise invalid("$: missing property 'keys'")
                account.ssh_keys = [str(one) for one in keys]
            return json_reply({"keys": list(account.ssh_keys)})

        return self._do("account", {}, answer)

    def _graphql_call(self, request: Request) -> Reply:
        if self.switches.graphql_gone:
            raise Problem(410, "GraphQL was switched off")
        key = self.keys.find(_authorization(request))
        if _authorization(request) and key is None:
            raise Problem(401, "invalid api key")
        facts = {"kind": "mutation" if b"mutation" in request.body else "query"}
        return self._do("graphql", facts, lambda: self._graphql.answer(request.body, key))

    def _key(
        self, request: Request, operation: str, *, writes: bool = False, pod_id: str = ""
    ) -> Key:
        """The key of a request that it may make. Raises: Problem."""
        if not _authorization(request):
            raise Problem(401, "missing bearer token")
        key = self.keys.find(_authorization(request))
        if key is None:
            raise Problem(401, "invalid api key")
        if key.right is Right.MACHINE and not self._pod_key_may(key, operation, pod_id):
            raise Problem(403, "access denied")
        if key.right is Right.READ_ONLY and writes:
            raise Problem(403, "access denied")
        return key

    def _pod_key_may(self, key: Key, operation: str, pod_id: str) -> bool:
        way = {"terminate": "v2", "stop": "v2", "delete": "delete"}.get(operation)
        return way in self.switches.pod_key_ways and key.machine_id == pod_id

    def _create(self, request: Request, key: Key) -> Reply:
        asked = read_create(request.body, later_fields=self.switches.later_fields)
        facts = {
            "gpu": asked.gpu_id,
            "cloud": asked.cloud,
            "label": asked.name,
            "data_centers": ",".join(asked.data_centers),
        }

        def create() -> Reply:
            return json_reply(self._pods.to_json(self._pods.create(asked, key.account)), 201)

        return self._do("create", facts, create)

    def _list(self, request: Request, key: Key) -> Reply:
        limit = request.query.get("limit", str(_LARGEST_PAGE))
        if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
            raise invalid(f"limit: must be an integer from 1 to {_LARGEST_PAGE}")
        size = min(int(limit), self.switches.page_size)
        machines = self.world.listed(PROVIDER, key.account)
        if request.query.get("includeClusterPods") != "true":
            machines = [one for one in machines if one.label not in self.switches.clusters]
        if cursor := request.query.get("cursor"):
            machines = self._behind(machines, cursor)
        page, more = machines[:size], len(machines) > size
        following = base64.urlsafe_b64encode(page[-1].id.encode()).decode() if more else None
        pods: list[Json] = [self._pods.to_json(machine, lagging=True) for machine in page]
        page_of: dict[str, Json] = {"nextCursor": following, "hasNextPage": more}
        says = more or self.switches.says_pages
        return json_reply({"pods": pods, **({"pagination": page_of} if says else {})})

    def _behind(self, machines: list[Rented], cursor: str) -> list[Rented]:
        """The machines that are older than the last one of a page. Raises: Problem."""
        order = {machine_id: number for number, machine_id in enumerate(self.world.machines)}
        try:
            last = order[base64.urlsafe_b64decode(cursor).decode()]
        except (binascii.Error, ValueError, KeyError):
            raise Problem(400, "invalid cursor") from None
        return [machine for machine in machines if order[machine.id] < last]

    def _get(self, pod_id: str, key: Key) -> Reply:
        return json_reply(self._pods.to_json(self._pod(pod_id, key)))

    def _end(self, pod_id: str, key: Key) -> Reply:
        by = EndedBy.SELF if key.right is Right.MACHINE else EndedBy.API
        machine = self._pod(pod_id, key)
        if machine.label in self.switches.clusters:
            raise Problem(409, "the pod is a member of a cluster")
        self.world.end(machine, by)
        return Reply(204)

    def _action(self, pod_id: str, action: str, key: Key) -> Reply:
        if action == "terminate":
            return self._end(pod_id, key)
        machine = self._pod(pod_id, key)
        try:
            if action == "stop":
                self.world.stop(machine)
            elif action == "restart":
                self.world.restart(machine)
            else:
                self.world.start(machine)
        except NotNow:
            raise Problem(409, f"cannot {action} a pod in this status") from None
        except SoldOut:
            raise Problem(400, NO_FREE_GPUS) from None
        return json_reply(self._pods.to_json(machine))

    def _pod(self, pod_id: str, key: Key) -> Rented:
        machine = self.world.find(PROVIDER, key.account, pod_id)
        if machine is None:
            raise Problem(404, "pod not found")
        return machine

    def _do(self, operation: str, facts: Mapping[str, str], act: Act) -> Reply:
        """The call, or what goes wrong with it now."""
        return carry_out(
            self.world,
            self.world.faults.take(PROVIDER, operation, facts),
            act,
            done_first=_DONE_FIRST,
            told=lambda *_: Problem(500, "internal server error").reply(),
            instead=lambda fault: self._fail(fault, act, facts),
        )

    def _fail(self, fault: Fault, act: Act, facts: Mapping[str, str]) -> Reply:
        refusals = {
            "wrong_key": (401, "invalid api key"),
            "insufficient_funds": (402, "your balance is too low to rent this pod"),
            "forbidden": (403, "access denied"),
            "gone": (410, "this API was switched off"),
            "no_capacity": (400, NO_CAPACITY),
            "conflict": (409, "the pod is a member of a cluster"),
            "too_large": (413, "request body exceeds 102400 bytes"),
            "unprocessable": (422, "Request validation failed."),
            "rule": (400, "request could not be processed"),
        }
        if fault.name in refusals:
            raise Problem(*refusals[fault.name])
        match fault.name:
            case "5xx":
                raise Problem(int(fault.number("status", 503)), "service unavailable")
            case "html_502":
                return html_502()
            case "rate_limit":
                return self._rate_limited(int(fault.seconds(1.0)), fault.operation)
            case "delete_lies" | "terminate_lies":
                pod_id = facts.get("id", "")
                return Reply(204) if pod_id in self.world.machines else act()
            case "list_page_fail":
                raise Problem(500, "internal server error")
            case "billing_absent":
                return json_reply(billing.without_records(json.loads(act().body)))
            case "graphql_errors":
                return graphql_failure()
            case "graphql_lies":
                return json_reply({"data": {"podTerminate": None}})
        return act()

    def _rate_limited(self, seconds: int, operation: str) -> Reply:
        detail = "rate limit exceeded for the minute window"
        if operation == "graphql":  # it does not say for how long
            return Problem(429, detail).reply()
        spent = f'"minute";r=0;t={seconds}, "hour";r=2800;t=1812, "day";r=49500;t=45012'
        headers = {"Retry-After": str(seconds), "RateLimit": spent}
        return Problem(429, detail, headers=headers).reply()

    def _number(self) -> str:
        """Of a request, on every answer."""
        with self._lock:
            self._answered += 1
            return f"sim-{self._answered:08d}"

    def _rates(self, request: Request) -> Mapping[str, str]:
        """Raises: Problem where the account has called too often."""
        key = self.keys.find(_authorization(request))
        who = key.account if key else ""
        return self._quotas.count(who, self.switches.calls_per_minute)


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _not_allowed(methods: str) -> Problem:
    detail = "The requested method is not allowed for this path."
    return Problem(405, detail, headers={"Allow": methods})
