"""The front door: routes, keys, limits and faults of Vast's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from infra.simcloud.accounts import NAMES
from infra.simcloud.faults import Fault
from infra.simcloud.keys import Key, Keys, Right
from infra.simcloud.vast import charges, payments
from infra.simcloud.vast.bodies import read_create, read_object
from infra.simcloud.vast.broken import carry_out
from infra.simcloud.vast.calls import Calls
from infra.simcloud.vast.facts import facts_of
from infra.simcloud.vast.faults import WORDS
from infra.simcloud.vast.filters import BadFilter
from infra.simcloud.vast.hosts import PROVIDER
from infra.simcloud.vast.instances import Instances
from infra.simcloud.vast.limits import Limits
from infra.simcloud.vast.listing import list_page
from infra.simcloud.vast.logs import FOLDER
from infra.simcloud.vast.market import Market
from infra.simcloud.vast.problems import (
    Problem,
    auth_error,
    invalid_args,
    invalid_query,
)
from infra.simcloud.vast.ssh_keys import SshKeys
from infra.simcloud.vast.switches import Switches
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_GRACE_USD = Decimal(1)
_LAGS_S = 20.0

Act = Callable[[], Reply]


class _TooSoon(Exception):
    """A call that comes before its time, with the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("too soon")
        self.reply = reply


class VastApi:
    """Answers every request to Vast's address."""

    def __init__(self, world: World) -> None:
        self.world = world
        for name in NAMES:
            world.accounts.open(PROVIDER, name, str(world.random.randrange(10**6)), _GRACE_USD)
        world.faults.learn(PROVIDER, WORDS)
        self.switches = Switches()
        self.keys = Keys(world)
        self.market = Market(world, self.switches)
        self._instances = Instances(world, self.market, self.keys)
        self._calls = Calls(world, self._instances, self.switches)
        self._ssh_keys = SshKeys(world, self._instances.renew_boot)
        self._limits = Limits(world.clock)

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
        except _TooSoon as early:
            reply = early.reply
        self.world.record(
            PROVIDER, request.method, request.path, None if reply.cut else reply.status
        )
        return reply

    def _route(self, request: Request) -> Reply:
        match (request.method, *request.parts):
            case ("GET", folder, name) if folder == FOLDER:
                return self._calls.results.fetch(name)
            case ("POST", "api", "v0", "bundles"):
                return self._search(request, read_object(request.body))
            case ("PUT", "api", "v0", "search", "asks"):
                return self._search(request, _wrapped_query(read_object(request.body)))
            case ("GET", "api", "v0", "gpu_names", "unique"):
                names: list[Json] = [*sorted({one.kind.card.name for one in self.market.hosts})]
                return self._do("catalog", {}, lambda: json_reply({"gpu_names": names}))
            case ("PUT", "api", "v0", "asks", ask_id):
                return self._create(request, ask_id)
            case ("GET", "api", "v1", "instances"):
                return self._list(request)
            case ("GET", "api", "v0", "instances"):
                return self._old_list(request)
            case (method, "api", "v0", "instances", instance_id) if instance_id.isdecimal():
                return self._instance_call(request, method, instance_id)
            case (method, "api", "v0", "instances", instance_id, "ssh", *rest):
                return self._instance_keys(request, method, instance_id, rest)
            case ("PUT", "api", "v0", "instances", action, instance_id):
                return self._action(request, action, instance_id)
            case (method, "api", "v0", "ssh", *rest):
                return self._account_keys(request, method, rest)
            case ("GET", "api", version, *rest):
                return self._account_call(request, version, rest)
        raise _no_endpoint(request)

    def _search(self, request: Request, query: Mapping[str, Json]) -> Reply:
        if "authorization" in request.headers or "api_key" in request.query:
            self._key(request, "search")  # none is needed; a wrong one is refused
        if self.switches.thresholds and (early := self._limits.refuse_search(self._scale)):
            raise _TooSoon(early)

        def answer() -> Reply:
            try:
                return json_reply({"offers": [*self.market.search(query)]})
            except BadFilter as problem:
                raise invalid_query(str(problem)) from None

        return self._do("catalog", {}, answer)

    def _create(self, request: Request, ask_text: str) -> Reply:
        key = self._key(request, "create", writes=True)
        asked = read_create(request.body)
        if not ask_text.isdecimal():
            raise invalid_args("'id' is required and must be a valid offer ID")
        ask_id = int(ask_text)
        ask = self.market.find(ask_id)
        facts = {
            "ask": ask_text,
            "gpu": ask.host.kind.card.name if ask else "",
            "machine": str(ask.host.machine_id) if ask else "",
            "cloud": ask.host.stock.tier if ask else "",
            "label": asked.label or "",
        }

        def create(*, loses: bool = False) -> Reply:
            with self.world.lock:  # of two that want one ask, one gets it
                machine, lost = self._instances.create(ask_id, asked, key.account, loses=loses)
            if lost:
                msg = "error 400/3472: the bid is too low; the instance is stopped"
                raise Problem(400, "invalid_price", msg, new_contract=int(machine.id))
            row: dict[str, Json] = {"success": True, "new_contract": int(machine.id)}
            return json_reply(row | {"instance_api_key": facts_of(machine).key})

        return self._do("create", facts, create, low_bid=lambda _: create(loses=True))

    def _list(self, request: Request) -> Reply:
        key = self._key(request, "list")
        facts = {"page": "next" if request.query.get("after_token") else "first"}

        def answer() -> Reply:
            rows = self._calls.rows(key)
            return json_reply(list_page(rows, request.query, page_size=self.switches.page_size))

        return self._do("list", facts, answer)

    def _old_list(self, request: Request) -> Reply:
        """The list of v0 is retired, unevenly since about June 2026."""
        key = self._key(request, "list")
        match self.switches.v0_list:
            case "full":
                return json_reply({"instances": [*self._calls.rows(key)]})
            case "empty":
                return json_reply({"instances": []})
        msg = "/api/v0/instances/ is deprecated. Use /api/v1/instances/ instead."
        status = 200 if self.switches.v0_list == "200_error" else 410
        raise Problem(status, "deprecated_endpoint", msg)

    def _instance_call(self, request: Request, method: str, instance_id: str) -> Reply:
        facts, calls = {"id": instance_id}, self._calls
        match method:
            case "GET":
                key = self._key(request, "show", instance_id=instance_id)
                return self._do("get", facts, lambda: calls.show(instance_id, key))
            case "PUT":
                key = self._key(request, "state", writes=True, instance_id=instance_id)
                body = read_object(request.body)
                facts["action"] = str(body.get("state", "label"))
                return self._do("action", facts, lambda: calls.change(instance_id, key, body))
            case "DELETE":
                key = self._key(request, "destroy", writes=True, instance_id=instance_id)
                return self._destroy(instance_id, key)
        raise _no_endpoint(request)

    def _destroy(self, instance_id: str, key: Key) -> Reply:
        def at_once() -> Reply:
            return self._calls.destroy(instance_id, key)

        def lagging(fault: Fault) -> Reply:
            lag_s = self.world.delay_s(fault.seconds(_LAGS_S))
            return self._calls.destroy(instance_id, key, lag_s=lag_s)

        return self._do("delete", {"id": instance_id}, at_once, delete_lags=lagging)

    def _instance_keys(
        self, request: Request, method: str, instance_id: str, rest: list[str]
    ) -> Reply:
        writes = method != "GET"
        key = self._key(request, "detach" if method == "DELETE" else "keys", writes=writes)

        def answer() -> Reply:
            machine = self._calls.find(instance_id, key)
            match (method, *rest):
                case ("POST",):
                    return self._ssh_keys.attach(machine, read_object(request.body))
                case ("GET",):
                    return self._ssh_keys.attached(machine)
                case ("DELETE", key_id):
                    return self._ssh_keys.detach(machine, key_id)
            raise _no_endpoint(request)

        return self._do("keys", {"id": instance_id}, answer)

    def _account_keys(self, request: Request, method: str, rest: list[str]) -> Reply:
        key = self._key(request, "keys", writes=method != "GET")

        def answer() -> Reply:
            match (method, *rest):
                case ("POST",):
                    return self._ssh_keys.register(key.account, read_object(request.body))
                case ("GET",):
                    return self._ssh_keys.listed(key.account)
                case ("DELETE", key_id):
                    return self._ssh_keys.forget(key.account, key_id)
            raise _no_endpoint(request)

        return self._do("keys", {}, answer)

    def _action(self, request: Request, action: str, instance_id: str) -> Reply:
        limit = {"bid_price": "bid", "reboot": "reboot", "recycle": "reboot"}.get(action, action)
        key = self._key(request, limit, writes=action != "request_logs")
        calls = self._calls

        def answer() -> Reply:
            machine = calls.find(instance_id, key)
            match action:
                case "request_logs":
                    return calls.logs(request, machine, read_object(request.body))
                case "command":
                    return calls.execute(request, machine)
                case "bid_price":
                    return calls.bid(machine, read_object(request.body))
                case "reboot" | "recycle":
                    return calls.restart(machine, fresh=action == "recycle")
            raise _no_endpoint(request)

        operation = "logs" if action == "request_logs" else "action"
        return self._do(operation, {"id": instance_id, "action": action}, answer)

    def _account_call(self, request: Request, version: str, rest: list[str]) -> Reply:
        match (version, *rest):
            case ("v0", "users", "current"):
                key = self._key(request, "user")
                return self._do("account", {}, lambda: self._user(key))
            case ("v0", "charges"):
                key = self._key(request, "billing")
                return self._do("billing", {}, lambda: self._charges(request, key))
            case ("v1", "invoices"):
                key = self._key(request, "invoices")
                account = self.world.accounts[PROVIDER, key.account]
                return self._do("billing", {}, lambda: payments.listed(account, request.query))
        raise _no_endpoint(request)

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
        fault = self.world.faults.standing(PROVIDER, "billing_lag_s")
        lag_s = fault.seconds(86_400.0) if fault else self.switches.charges_lag_s
        whole = self.world.faults.standing(PROVIDER, "charges_partial") is None
        rows = charges.list_charges(
            self.world,
            key.account,
            request.query,
            lag_s=self.world.delay_s(lag_s),
            whole=whole,
            page_size=self.switches.bill_page_size,
        )
        return json_reply(rows)

    def _key(
        self, request: Request, call: str, *, writes: bool = False, instance_id: str = ""
    ) -> Key:
        """The key of a request that it may make now. Raises: Problem, _TooSoon."""
        authorization = request.headers.get("authorization", "")
        if not authorization and "api_key" in request.query:
            authorization = f"Bearer {request.query['api_key']}"
        if not authorization:
            raise auth_error(403, "This action requires login.")
        key = self.keys.find(authorization)
        if key is None:
            raise auth_error(self.switches.bad_key_status, "Invalid user key")
        is_own = key.machine_id == instance_id and call in self.switches.container_key_may
        if (key.right is Right.MACHINE and not is_own) or (key.right is Right.READ_ONLY and writes):
            raise auth_error(403, "This key is not allowed to do this.")
        if self.switches.thresholds and (early := self._limits.refuse(key.text, call, self._scale)):
            raise _TooSoon(early)
        return key

    @property
    def _scale(self) -> float:
        """How much of a threshold is left at this speed."""
        return self.world.delay_s(1.0)

    def _do(
        self,
        operation: str,
        facts: Mapping[str, str],
        act: Act,
        **instead: Callable[[Fault], Reply],
    ) -> Reply:
        """The call, or what goes wrong with it now; `instead` of it under some faults."""
        fault = self.world.faults.take(PROVIDER, operation, facts)
        if fault is not None and fault.name in instead:
            return instead[fault.name](fault)
        return carry_out(self.world, fault, facts, act)


def _wrapped_query(body: Mapping[str, Json]) -> Mapping[str, Json]:
    """The other search wraps its query and refuses a flat one."""
    query = body.get("q")
    if set(body) - {"select_cols", "q"} or not isinstance(query, dict):
        raise invalid_query("Extra inputs are not permitted")
    return query


def _no_endpoint(request: Request) -> Problem:
    return Problem(404, "not_found", f"no such endpoint: {request.method} {request.path}")
