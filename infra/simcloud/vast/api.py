"""The front door: routes, keys and faults of Vast's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from infra.simcloud.accounts import NAMES
from infra.simcloud.faults import Fault
from infra.simcloud.keys import Key, Keys, Right
from infra.simcloud.orders import NotNow
from infra.simcloud.rented import EndedBy, Rented
from infra.simcloud.vast import charges
from infra.simcloud.vast.bodies import read_create, read_object
from infra.simcloud.vast.filters import BadFilter
from infra.simcloud.vast.hosts import PROVIDER
from infra.simcloud.vast.instances import Instances, facts_of
from infra.simcloud.vast.listing import list_page
from infra.simcloud.vast.market import Market
from infra.simcloud.vast.problems import (
    Problem,
    auth_error,
    invalid_args,
    invalid_query,
    no_such_ask,
    no_such_instance,
)
from infra.simcloud.vast.shown import instance_row
from infra.simcloud.vast.switches import Switches
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_GRACE_USD = Decimal(1)
_LONGEST_LABEL = 1024
_HOLD_S = 120.0
_DONE_FIRST = ("5xx_after", "delete_5xx_done", "reply_lost", "timeout_after", "unreadable")

Act = Callable[[], Reply]


class VastApi:
    """Answers every request to Vast's address."""

    def __init__(self, world: World) -> None:
        self.world = world
        for name in NAMES:
            world.accounts.open(PROVIDER, name, str(world.random.randrange(10**6)), _GRACE_USD)
        self.switches = Switches()
        self.keys = Keys(world)
        self.market = Market(world, self.switches)
        self._instances = Instances(world, self.market, self.keys)

    def environment(self, url: str, user: str) -> dict[str, str]:
        """What leads to it."""
        return {
            "GPULEASE_VAST_URL": url,
            "GPULEASE_VAST_SSH_USER": user,
            "VAST_API_KEY": self.keys.main.text,
            "SIMCLOUD_VAST_READ_ONLY_KEY": self.keys.read_only.text,
            "SIMCLOUD_VAST_OTHER_KEY": self.keys.other.text,
        }

    def __call__(self, request: Request) -> Reply:
        self.world.settle()
        try:
            reply = self._route(request)
        except Problem as problem:
            reply = problem.reply()
        self.world.record(
            PROVIDER, request.method, request.path, None if reply.cut else reply.status
        )
        return reply

    def _route(self, request: Request) -> Reply:
        match (request.method, *request.parts):
            case ("POST", "api", "v0", "bundles"):
                return self._search(request, read_object(request.body))
            case ("PUT", "api", "v0", "search", "asks"):
                return self._search(request, _wrapped_query(read_object(request.body)))
            case ("GET", "api", "v0", "gpu_names", "unique"):
                names: list[Json] = [*dict.fromkeys(self._gpu_names())]
                return self._do("catalog", {}, lambda: json_reply({"gpu_names": names}))
            case ("PUT", "api", "v0", "asks", ask_id):
                return self._create(request, ask_id)
            case ("GET", "api", "v1", "instances"):
                return self._list(request)
            case ("GET", "api", "v0", "instances"):
                return self._old_list(request)
            case (method, "api", "v0", "instances", instance_id) if instance_id.isdecimal():
                return self._instance_call(request, method, instance_id)
            case ("GET", "api", "v0", "users", "current"):
                key = self._key(request, "user")
                return self._do("account", {}, lambda: self._user(key))
            case ("GET", "api", "v0", "charges"):
                key = self._key(request, "billing")
                return self._do("billing", {}, lambda: self._charges(request, key))
        raise Problem(404, "not_found", f"no such endpoint: {request.method} {request.path}")

    def _gpu_names(self) -> list[str]:
        return sorted(host.kind.card.name for host in self.market.hosts)

    def _search(self, request: Request, query: Mapping[str, Json]) -> Reply:
        if "authorization" in request.headers or "api_key" in request.query:
            self._key(request, "search")  # none is needed; a wrong one is refused

        def answer() -> Reply:
            try:
                return json_reply({"offers": [*self.market.search(query)]})
            except BadFilter as problem:
                raise invalid_query(str(problem)) from None

        return self._do("catalog", {}, answer)

    def _create(self, request: Request, ask_text: str) -> Reply:
        key = self._key(request, "create", writes=True)
        asked = read_create(request.body, strict=self.switches.strict_bodies)
        if not ask_text.isdecimal():
            raise invalid_args("'id' is required and must be a valid offer ID")
        ask = self.market.find(int(ask_text))
        facts = {
            "gpu": ask.host.kind.card.name if ask else "",
            "machine": str(ask.host.machine_id) if ask else "",
            "cloud": ask.host.stock.tier if ask else "",
            "label": asked.label or "",
        }

        def create() -> Reply:
            machine, lost = self._instances.create(int(ask_text), asked, key.account)
            contract = int(machine.id)
            if lost:
                msg = "error 400/3472: the bid is too low; the instance is stopped"
                raise Problem(400, "invalid_price", msg, new_contract=contract)
            key_text = facts_of(machine).key
            return json_reply(
                {"success": True, "new_contract": contract, "instance_api_key": key_text}
            )

        return self._do("create", facts, create)

    def _list(self, request: Request) -> Reply:
        key = self._key(request, "list")
        facts = {"page": "next" if request.query.get("after_token") else "first"}

        def answer() -> Reply:
            rows = self._rows(key)
            page = list_page(rows, request.query, page_size=self.switches.page_size)
            return json_reply(page)

        return self._do("list", facts, answer)

    def _rows(self, key: Key) -> list[dict[str, Json]]:
        machines = self.world.listed(PROVIDER, key.account)
        return [instance_row(self.world, machine, lagging=True) for machine in machines]

    def _old_list(self, request: Request) -> Reply:
        """The list of v0 is retired, unevenly since about June 2026."""
        key = self._key(request, "list")
        match self.switches.v0_list:
            case "full":
                return json_reply({"instances": [*self._rows(key)]})
            case "empty":
                return json_reply({"instances": []})
        msg = "/api/v0/instances/ is deprecated. Use /api/v1/instances/ instead."
        status = 200 if self.switches.v0_list == "200_error" else 410
        raise Problem(status, "deprecated_endpoint", msg)

    def _instance_call(self, request: Request, method: str, instance_id: str) -> Reply:
        facts = {"id": instance_id}
        match method:
            case "GET":
                key = self._key(request, "show", instance_id=instance_id)
                return self._do("get", facts, lambda: self._get(instance_id, key))
            case "PUT":
                key = self._key(request, "state", writes=True, instance_id=instance_id)
                body = read_object(request.body)
                facts["action"] = str(body.get("state", "label"))
                return self._do("action", facts, lambda: self._change(instance_id, key, body))
            case "DELETE":
                key = self._key(request, "destroy", writes=True, instance_id=instance_id)
                return self._do("delete", facts, lambda: self._destroy(instance_id, key))
        raise Problem(405, "method_not_allowed", "Method not allowed")

    def _get(self, instance_id: str, key: Key) -> Reply:
        machine = self.world.find(PROVIDER, key.account, instance_id)
        if machine is None and self.switches.gone_instance == "404":
            raise no_such_instance(instance_id)
        return json_reply({"instances": instance_row(self.world, machine) if machine else None})

    def _change(self, instance_id: str, key: Key, body: Mapping[str, Json]) -> Reply:
        """Stop, start or relabel."""
        machine = self._instance(instance_id, key)
        if "label" in body:
            label = str(body["label"] or "")
            if len(label) > _LONGEST_LABEL:
                raise Problem(400, "label_too_long", "error 400/3469: the label is too long")
            facts_of(machine).label, machine.label = label or None, label
        match body.get("state"):
            case "stopped":
                with suppress(NotNow):  # it is stopped already
                    self._instances.stop(machine)
            case "running":
                if not self._instances.start(machine):
                    raise _unavailable()
            case None if "label" in body:
                pass
            case _:
                raise invalid_args("'state' must be running or stopped")
        return json_reply({"success": True})

    def _destroy(self, instance_id: str, key: Key) -> Reply:
        by = EndedBy.SELF if key.right is Right.MACHINE else EndedBy.API
        self.world.end(self._instance(instance_id, key), by)
        return json_reply({"success": True, "msg": "Instance destroyed successfully"})

    def _instance(self, instance_id: str, key: Key) -> Rented:
        machine = self.world.find(PROVIDER, key.account, instance_id)
        if machine is None:
            raise no_such_instance(instance_id)
        return machine

    def _user(self, key: Key) -> Reply:
        account = self.world.accounts[PROVIDER, key.account]
        left = float(self.world.accounts.balance_usd(PROVIDER, key.account))
        row: dict[str, Json] = {
            "id": int(account.id),
            "email": f"{key.account}@example.com",
            "credit": left,
            "balance": left,
            "ssh_key": account.ssh_keys[0] if account.ssh_keys else "",
            "key_id": 99,
            "sid": "sim",
        }
        return json_reply(row)

    def _charges(self, request: Request, key: Key) -> Reply:
        lag_s = self.world.delay_s(self.switches.charges_lag_s)
        rows = charges.list_charges(self.world, key.account, request.query, lag_s=lag_s)
        return json_reply(rows)

    def _key(
        self, request: Request, operation: str, *, writes: bool = False, instance_id: str = ""
    ) -> Key:
        """The key of a request that it may make. Raises: Problem."""
        authorization = request.headers.get("authorization", "")
        if not authorization and "api_key" in request.query:
            authorization = f"Bearer {request.query['api_key']}"
        if not authorization:
            raise auth_error(403, "This action requires login.")
        key = self.keys.find(authorization)
        if key is None:
            raise auth_error(self.switches.bad_key_status, "Invalid user key")
        is_own = key.machine_id == instance_id and operation in self.switches.container_key_may
        if (key.right is Right.MACHINE and not is_own) or (key.right is Right.READ_ONLY and writes):
            raise auth_error(403, "This key is not allowed to do this.")
        return key

    def _do(self, operation: str, facts: Mapping[str, str], act: Act) -> Reply:
        """The call, or what goes wrong with it now."""
        fault = self.world.faults.take(PROVIDER, operation, facts)
        if fault is None:
            return act()
        if fault.name in _DONE_FIRST:
            try:
                reply = act()
            except Problem as problem:
                reply = problem.reply()
            return self._spoil(fault, reply)
        return self._fail(fault, act, facts)

    def _spoil(self, fault: Fault, reply: Reply) -> Reply:
        match fault.name:
            case "reply_lost":
                return Reply(cut=True)
            case "timeout_after":
                return Reply(cut=True, hold_s=self.world.delay_s(fault.seconds(_HOLD_S)))
            case "unreadable":
                return replace(reply, body=reply.body[: len(reply.body) // 2])
        return Problem(500, "server_error", "Something went wrong").reply()

    def _fail(self, fault: Fault, act: Act, facts: Mapping[str, str]) -> Reply:
        match fault.name:
            case "5xx":
                return Problem(int(fault.number("status", 503)), "server_error", "later").reply()
            case "no_capacity":
                raise no_such_ask(1)
            case "list_page_fail":
                raise Problem(500, "server_error", "Something went wrong")
        return act()


def _wrapped_query(body: Mapping[str, Json]) -> Mapping[str, Json]:
    """The other search wraps its query and refuses a flat one."""
    query = body.get("q")
    if set(body) - {"select_cols", "q"} or not isinstance(query, dict):
        raise invalid_query("Extra inputs are not permitted")
    return query


def _unavailable() -> Problem:
    msg = "Required resources are currently unavailable, state change queued."
    return Problem(200, "resources_unavailable", msg)
