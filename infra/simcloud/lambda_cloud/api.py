"""The front door: routes, keys, limits and faults of Lambda's API."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlsplit

from infra.simcloud.accounts import NAMES
from infra.simcloud.broken import Act, carry_out
from infra.simcloud.faults import Fault
from infra.simcloud.keys import Key, Keys
from infra.simcloud.lambda_cloud import problems
from infra.simcloud.lambda_cloud.bodies import read_launch, read_object
from infra.simcloud.lambda_cloud.instances import USER, Instances, SshKey, facts_of
from infra.simcloud.lambda_cloud.problems import Problem, invalid, no_such
from infra.simcloud.lambda_cloud.switches import Switches
from infra.simcloud.lambda_cloud.types import (
    KINDS,
    PROVIDER,
    REGIONS,
    default_stock,
    images_json,
    kind_json,
    region_json,
    shelf_of,
)
from infra.simcloud.orders import NotNow
from infra.simcloud.rented import EndedBy, Rented
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_EARLY_S = 1e-3  # a clock is read, and a time written, no more exactly
_DONE_FIRST = (
    "5xx_after",
    "delete_5xx_done",
    "reply_lost",
    "timeout_after",
    "unreadable",
    "rate_limit_after",
    "html_after",
    "no_ids",
)
_INVOICED_USD = Decimal(10**9)  # nothing is paid in beforehand


class _TooSoon(Exception):
    """A call that the account's rate does not allow yet."""


class LambdaApi:
    """Answers every request to Lambda's address."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.stock += default_stock()
        for name in NAMES:
            world.accounts.open(PROVIDER, name, name)
            world.accounts.set_balance_usd(PROVIDER, name, str(_INVOICED_USD))
        self.switches = Switches()
        self.keys = Keys(world, "secret_")
        self._instances = Instances(world, self.switches)
        self._lock = threading.Lock()
        self._last_s: dict[tuple[str, str], float] = {}  # account and kind of call → when

    def environment(self, url: str, user: str) -> dict[str, str]:
        """What leads to it. Every sshd listens on one port, each at an address of its own."""
        self._instances.port = urlsplit(url).port or 22
        return {
            "GPULEASE_LAMBDA_URL": f"{url}/api/v1",
            "GPULEASE_LAMBDA_SSH_USER": USER if self.world.backend.kind == "namespaces" else user,
            "GPULEASE_LAMBDA_SSH_PORT": str(self._instances.port),
            "LAMBDA_API_KEY": self.keys.main.text,
            "SIMCLOUD_LAMBDA_OTHER_KEY": self.keys.other.text,
        }

    def __call__(self, request: Request) -> Reply:
        self.world.settle()
        try:
            reply = self._route(request)
        except _TooSoon:
            reply = self._limited()
        except Problem as problem:
            reply = problem.reply()
        self.world.record(
            PROVIDER, request.method, request.path, None if reply.cut else reply.status
        )
        return reply

    def _route(self, request: Request) -> Reply:
        if request.headers.get("user-agent", "").startswith("Python-urllib"):
            return problems.blocked()
        key = self._key(request)
        match (request.method, *request.parts[2:]):
            case _ if request.parts[:2] != ("api", "v1"):
                raise Problem(404, "global/not-found", "Not found.")
            case ("POST", "instance-operations", "launch"):
                return self._launch(request, key)
            case ("POST", "instance-operations", "terminate"):
                return self._terminate(request, key)
            case ("POST", "instance-operations", "restart"):
                return self._restart(request, key)
            case _:
                self._count_call(key)
        match (request.method, *request.parts[2:]):
            case ("GET", "instances"):
                facts = {"page": "next" if "page_token" in request.query else "first"}
                return self._do("list", facts, lambda: self._list(request, key))
            case ("GET", "instances", instance_id):
                return self._do("get", {"id": instance_id}, lambda: self._get(instance_id, key))
            case ("POST", "instances", instance_id):
                return self._do("action", {}, lambda: self._rename(request, instance_id, key))
            case ("GET", "instance-types"):
                return self._do("catalog", {}, self._types)
            case ("GET", "images"):
                return self._do("catalog", {}, lambda: _data(images_json()))
            case ("GET", "regions"):
                return self._do("catalog", {}, lambda: _data([region_json(one) for one in REGIONS]))
            case ("GET", "file-systems" | "firewall-rulesets"):
                return _data([])
            case (_, "ssh-keys", *rest):
                return self._do("account", {}, lambda: self._ssh_keys(request, tuple(rest), key))
        raise Problem(404, "global/not-found", "Not found.")

    def _launch(self, request: Request, key: Key) -> Reply:
        self._count_call(key)
        self._count(key, "launch", self.switches.launch_every_s)
        asked = read_launch(request.body)
        facts = {"type": asked.kind, "label": asked.name, "data_center": asked.region}

        def launch() -> Reply:
            machine = self._instances.launch(asked, key.account)
            return _data({"instance_ids": [machine.id]})

        return self._do("create", facts, launch)

    def _terminate(self, request: Request, key: Key) -> Reply:
        self._count_call(key)
        ids = _ids(request)
        facts = {"id": ids[0]}

        def terminate() -> Reply:
            machines = [self._known(one, key) for one in ids]
            if self.switches.terminate_again == "404":
                for machine in machines:
                    if not machine.alive:
                        raise no_such("instance")
            for machine in machines:
                self.world.end(machine, EndedBy.API)
            rows: list[Json] = [self._instances.to_json(machine) for machine in machines]
            return _data({"terminated_instances": rows})

        return self._do("delete", facts, terminate)

    def _restart(self, request: Request, key: Key) -> Reply:
        ids = _ids(request)

        def restart() -> Reply:
            machines = [self._known(one, key) for one in ids]
            try:
                for machine in machines:
                    self.world.restart(machine)
            except NotNow:
                raise Problem(409, "global/conflict", "Not in this state.") from None
            rows: list[Json] = [self._instances.to_json(machine) for machine in machines]
            return _data({"restarted_instances": rows})

        return self._do("action", {"id": ids[0]}, restart)

    def _list(self, request: Request, key: Key) -> Reply:
        """Living ones; ended ones linger as the switches say, and `list_lag_s` hides both."""
        machines = self.world.listed(PROVIDER, key.account)
        by_id = {machine.id for machine in machines}
        lingering = self._lingering(key.account)
        machines += [machine for machine in lingering if machine.id not in by_id]
        rows: list[Json] = [self._instances.to_json(machine) for machine in machines]
        return self._page(rows, request, says=self.switches.shows_page_token)

    def _page(self, rows: list[Json], request: Request, *, says: bool) -> Reply:
        """Rows behind a mark; `says`: the last page has one too, which is null."""
        size = self.switches.page_size or len(rows) or 1
        start = int(request.query.get("page_token", "0"))
        token = str(start + size) if start + size < len(rows) else None
        shown: dict[str, Json] = {"data": rows[start : start + size]}
        return json_reply({**shown, "page_token": token} if says or token else shown)

    def _lingering(self, account: str) -> list[Rented]:
        ended = [one for one in self.world.of(PROVIDER, account) if not one.alive]
        if self.switches.after_end == "listed":
            return ended
        return [one for one in ended if self._instances.status(one) == "terminating"]

    def _get(self, instance_id: str, key: Key) -> Reply:
        return _data(self._instances.to_json(self._known(instance_id, key)))

    def _rename(self, request: Request, instance_id: str, key: Key) -> Reply:
        machine = self._known(instance_id, key)
        name = read_object(request.body).get("name")
        if not isinstance(name, str) or len(name) > 64:
            raise invalid("Invalid name.")
        facts_of(machine).name = name
        return _data(self._instances.to_json(machine))

    def _known(self, instance_id: str, key: Key) -> Rented:
        if len(instance_id) != 32:
            raise invalid("Instance ID must be a valid UUID: expected length 32.")
        machine = self.world.machines.get(instance_id)
        is_mine = machine is not None and (machine.provider, machine.account) == (
            PROVIDER,
            key.account,
        )
        if machine is None or not is_mine or not self._instances.status(machine):
            raise no_such("instance")
        return machine

    def _types(self) -> Reply:
        table: dict[str, Json] = {}
        for kind in KINDS:
            shelves = {one: shelf_of(self.world.stock_of(PROVIDER), kind, one) for one in REGIONS}
            free: list[Json] = [
                region_json(region)
                for region, shelf in shelves.items()
                if shelf and shelf.free >= kind.gpus and not self.switches.hides_capacity
            ]
            table[kind.name] = {
                "instance_type": kind_json(kind, later=self.switches.shows_later_fields),
                "regions_with_capacity_available": free,
            }
        return _data(table)

    def _ssh_keys(self, request: Request, rest: tuple[str, ...], key: Key) -> Reply:
        mine = self._instances.keys.setdefault(key.account, [])
        match (request.method, *rest):
            case ("GET",):
                return self._page([one.to_json() for one in mine], request, says=False)
            case ("POST",):
                body = read_object(request.body)
                name, public_key = body.get("name"), body.get("public_key")
                if not isinstance(name, str) or not 1 <= len(name) <= 64:
                    raise invalid("Invalid name.")
                if not isinstance(public_key, str) or not 1 <= len(public_key) <= 4096:
                    raise invalid("Invalid public key.")  # none is made here
                if any(one.name == name for one in mine):
                    raise Problem(400, "global/duplicate", "An SSH key of that name exists.")
                made = SshKey(f"{self.world.random.getrandbits(128):032x}", name, public_key)
                mine.append(made)
                return _data(made.to_json())
            case ("DELETE", key_id):
                if not any(one.id == key_id for one in mine):
                    raise Problem(404, "global/not-found", "Not found.")
                mine[:] = [one for one in mine if one.id != key_id]
                return _data({})
        raise Problem(404, "global/not-found", "Not found.")

    def _key(self, request: Request) -> Key:
        """Bearer, or Basic with the key as user. Raises: Problem."""
        authorization = request.headers.get("authorization", "")
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                raise problems.bad_key() from None
            authorization = f"Bearer {value}"
        key = self.keys.find(authorization)
        if key is None:
            raise problems.bad_key()
        return key

    def _count_call(self, key: Key) -> None:
        rate = self.switches.calls_per_s
        self._count(key, "call", 1 / rate if rate else 0.0)

    def _count(self, key: Key, what: str, every_s: float) -> None:
        """Raises: _TooSoon."""
        if not every_s:
            return
        now_s = self.world.clock.now_s()
        with self._lock:
            last_s = self._last_s.get((key.account, what))
            if last_s is not None and now_s - last_s < every_s - _EARLY_S:
                raise _TooSoon
            self._last_s[key.account, what] = now_s

    def _do(self, operation: str, facts: Mapping[str, str], act: Act) -> Reply:
        """The call, or what goes wrong with it now."""
        return carry_out(
            self.world,
            self.world.faults.take(PROVIDER, operation, facts),
            act,
            done_first=_DONE_FIRST,
            told=self._told,
            instead=lambda fault: self._fail(fault, act, facts),
        )

    def _told(self, fault: Fault, reply: Reply) -> Reply:
        """What is answered to a call that was carried out."""
        match fault.name:
            case "rate_limit_after":
                return self._limited()
            case "html_after":
                return problems.html_502()
            case "no_ids":
                return _data({"instance_ids": []})
        return problems.internal().reply()

    def _fail(self, fault: Fault, act: Act, facts: Mapping[str, str]) -> Reply:
        refusals = {
            "wrong_key": problems.bad_key(),
            "forbidden": Problem(403, "global/forbidden", "Forbidden."),
            "inactive": problems.inactive(),
            "quota": problems.quota_exceeded(),
            "no_capacity": problems.no_capacity(),
            "conflict": Problem(409, "global/conflict", "Conflict."),
            "rule": invalid("Invalid parameters."),
            "upstream": Problem(503, "provider/internal-unavailable", "Provider unavailable."),
            "list_page_fail": problems.internal(),
        }
        if fault.name in refusals:
            raise refusals[fault.name]
        match fault.name:
            case "5xx":
                status = int(fault.number("status", 503))
                return Problem(status, "global/internal-error", "Service unavailable.").reply()
            case "html_502":
                return problems.html_502()
            case "gone":
                return Problem(410, "global/not-found", "Gone.").reply()
            case "rate_limit":
                return self._limited()
            case "delete_lies":
                return self._noop(facts.get("id", ""))
        return act()

    def _noop(self, instance_id: str) -> Reply:
        """A terminate that is accepted, and does nothing."""
        machine = self.world.machines.get(instance_id)
        if machine is None:
            raise no_such("instance")
        row = self._instances.to_json(machine) | {"status": "terminating"}
        return _data({"terminated_instances": [row]})

    def _limited(self) -> Reply:
        problem = Problem(429, "global/rate-limit-exceeded", "Too many requests.")
        return problem.reply() if self.switches.limit_has_body else Reply(429)


def _data(data: Json) -> Reply:
    return json_reply({"data": data})


def _ids(request: Request) -> list[str]:
    ids = read_object(request.body).get("instance_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise invalid("instance_ids is missing.")
    return [str(one) for one in ids]
