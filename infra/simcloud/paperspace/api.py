"""The front door: routes, keys, pages and faults of Paperspace's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import urlsplit

from infra.simcloud.accounts import NAMES
from infra.simcloud.broken import Act, carry_out
from infra.simcloud.faults import Fault
from infra.simcloud.keys import Key, Keys
from infra.simcloud.paperspace import problems
from infra.simcloud.paperspace.bodies import check_body, read_create, read_object
from infra.simcloud.paperspace.machines import USER, WORDS, Event, Machines, facts_of
from infra.simcloud.paperspace.problems import Problem, bad, no_such
from infra.simcloud.paperspace.shown import event_json, iso, machine_json, session_json
from infra.simcloud.paperspace.switches import Switches
from infra.simcloud.paperspace.things import Things
from infra.simcloud.paperspace.types import (
    BY_NAME,
    PROVIDER,
    default_stock,
    region_of,
    shelf_of,
    template_rows,
)
from infra.simcloud.rented import Rented
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_DONE_FIRST = (
    "5xx_after",
    "delete_5xx_done",
    "reply_lost",
    "timeout_after",
    "unreadable",
    "rate_limit_after",
    "html_after",
    "no_data",
)
_INVOICED_USD = Decimal(10**9)  # nothing is paid in beforehand
_LARGEST_PAGE = 120
_STANDINGS = {
    "good": (True, True, False),
    "locked": (True, True, True),
    "unpaid": (True, False, False),
    "bad": (False, True, False),
}

Rows = Sequence[dict[str, Json]]


class PaperspaceApi:
    """Answers every request to Paperspace's address."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.stock += default_stock()
        for name in NAMES:
            world.accounts.open(PROVIDER, name, f"te{world.word(8)}")
            world.accounts.set_balance_usd(PROVIDER, name, str(_INVOICED_USD))
        world.faults.learn(PROVIDER, WORDS)
        self.switches = Switches()
        self.keys = Keys(world)
        self._machines = Machines(world, self.switches)
        self.things = Things(world, self.switches)

    def environment(self, url: str, user: str) -> dict[str, str]:
        """What leads to it. Every sshd listens on one port, each at an address of its own."""
        self._machines.port = urlsplit(url).port or 22
        is_own = self.world.backend.kind == "namespaces"
        return {
            "GPULEASE_PAPERSPACE_URL": f"{url}/v1",
            "GPULEASE_PAPERSPACE_SSH_USER": USER if is_own else user,
            "GPULEASE_PAPERSPACE_SSH_PORT": str(self._machines.port),
            "PAPERSPACE_API_KEY": self.keys.main.text,
            "SIMCLOUD_PAPERSPACE_OTHER_KEY": self.keys.other.text,
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
        check_body(request)
        match (request.method, *request.parts):
            case ("GET", "v1", "auth", "session"):
                return self._do("account", {}, lambda: self._session(request))
            case ("GET", "v1", "os-templates"):  # no key is asked for
                return self._do("catalog", {}, lambda: self._page(template_rows(), request))
        key = self._key(request)
        match (request.method, *request.parts):
            case ("GET", "v1", "billing", "account-standing") if self.switches.has_standing:
                return self._do("account", {}, self._standing)
            case ("GET", "v1", "machine-availability") if self.switches.has_availability:
                return self._do("catalog", {}, lambda: self._availability(request))
            case ("GET", "v1", "machine-events", *rest):
                return self._do("logs", {}, lambda: self._events(request, rest, key))
            case (_, "v1", "machines", *rest):
                return self._machine_call(request, rest, key)
            case (_, "v1", "startup-scripts" | "public-ips" | "snapshots" as what, *rest):
                return self._do("keys", {}, lambda: self._thing(request, what, tuple(rest), key))
            case ("GET", "v1", "private-networks" | "shared-drives"):
                return self._page([], request)
        raise no_such("Route")

    def _machine_call(self, request: Request, rest: list[str], key: Key) -> Reply:
        match (request.method, *rest):
            case ("POST",):
                return self._create(request, key)
            case ("GET",):
                facts = {"page": "next" if "after" in request.query else "first"}
                return self._do("list", facts, lambda: self._list(request, key))
            case ("GET", machine_id):
                shown = lambda: json_reply(self._json(self._known(machine_id, key)))  # noqa: E731
                return self._do("get", {"id": machine_id}, shown)
            case ("PUT", machine_id):
                return self._do("action", {}, lambda: self._update(request, machine_id, key))
            case ("DELETE", machine_id):
                return self._delete(machine_id, key)
            case ("PATCH", machine_id, "start" | "stop" | "restart" as act):
                facts = {"id": machine_id, "action": act}
                return self._do("action", facts, lambda: self._act(machine_id, act, key))
        raise no_such("Route")

    def _create(self, request: Request, key: Key) -> Reply:
        asked = read_create(request)
        region = region_of(asked.text("region"))
        kind, label = asked.text("machineType"), asked.text("name")
        facts = {"type": kind, "label": label, "data_center": region}

        def create() -> Reply:
            script = None
            if script_id := asked.text("startupScriptId"):
                script = self.things.script(key.account, script_id)
            machine = self._machines.create(asked, key.account, script.text if script else "")
            if script:
                script.machine_ids.append(machine.id)
            if asked.flag("takeInitialSnapshot"):
                self.things.take_snapshot(machine, is_auto=False)
            return self._changed(machine, facts_of(machine).events[0])

        return self._do("create", facts, create)

    def _delete(self, machine_id: str, key: Key) -> Reply:
        def delete() -> Reply:
            machine = self._known(machine_id, key)
            if facts_of(machine).asked.flag("autoSnapshotEnabled"):
                self.things.take_snapshot(machine, is_auto=True)
            return self._changed(machine, self._machines.delete(machine))

        return self._do("delete", {"id": machine_id}, delete, account=key.account)

    def _list(self, request: Request, key: Key) -> Reply:
        """Living ones, and those that are being deleted; `list_lag_s` hides both."""
        machines = self.world.listed(PROVIDER, key.account)
        by_id = {machine.id for machine in machines}
        machines += [
            machine
            for machine in self.world.of(PROVIDER, key.account)
            if not machine.alive and self._machines.state(machine) and machine.id not in by_id
        ]
        rows = [self._json(machine) for machine in machines]
        asked = [name for name in ("name", "machineType", "agentType") if name in request.query]
        kept = [row for row in rows if all(row[name] == request.query[name] for name in asked)]
        return self._page(kept, request)

    def _update(self, request: Request, machine_id: str, key: Key) -> Reply:
        machine = self._known(machine_id, key)
        changes = read_object(request, {"name": str, "autoShutdownTimeout": (int, float)})
        if "name" in changes:
            facts_of(machine).name = str(changes["name"])
        if "autoShutdownTimeout" in changes:
            self._machines.shut_down_after(machine, changes["autoShutdownTimeout"])
        return json_reply({"data": self._json(machine)})

    def _act(self, machine_id: str, act: str, key: Key) -> Reply:
        machine = self._known(machine_id, key)
        if not machine.alive:
            raise bad("This machine is being deleted.")
        acts = {
            "start": self._machines.start,
            "stop": self._machines.stop,
            "restart": self._machines.restart,
        }
        return self._changed(machine, acts[act](machine))

    def _changed(self, machine: Rented, event: Event) -> Reply:
        shown = event_json(event, machine, self.world.clock.now_s())
        return json_reply({"data": self._json(machine), "event": shown})

    def _json(self, machine: Rented) -> dict[str, Json]:
        return machine_json(machine, self._machines, self.switches)

    def _known(self, machine_id: str, key: Key) -> Rented:
        machine = self.world.machines.get(machine_id)
        is_mine = machine is not None and (machine.provider, machine.account) == (
            PROVIDER,
            key.account,
        )
        if machine is None or not is_mine:
            raise no_such("Machine")
        if not self._machines.state(machine) and self.switches.after_end == "404":
            raise no_such("Machine")
        return machine

    def _events(self, request: Request, rest: list[str], key: Key) -> Reply:
        now_s = self.world.clock.now_s()
        rows = [
            event_json(event, machine, now_s)
            for machine in self.world.of(PROVIDER, key.account)
            for event in reversed(facts_of(machine).events)
        ]
        if rest:
            found = next((row for row in rows if row["id"] == rest[0]), None)
            if found is None:
                raise no_such("Event")
            return json_reply(found)
        machine_id = request.query.get("machineId")
        return self._page([row for row in rows if machine_id in (None, row["machineId"])], request)

    def _thing(self, request: Request, what: str, rest: tuple[str, ...], key: Key) -> Reply:
        things, account = self.things, key.account
        match (request.method, what, *rest):
            case ("GET", "startup-scripts"):
                return self._page(things.scripts(account), request)
            case ("GET", "public-ips"):
                return self._page(things.ips(account), request)
            case ("GET", "snapshots"):
                return self._page(things.snapshots(account), request)
            case ("DELETE", "snapshots", snapshot_id):
                row = things.delete_snapshot(snapshot_id, account)
                at = iso(self.world.clock.now_s())
                event: Json = {
                    "id": f"ev{snapshot_id}",
                    "name": "snapshot-delete",
                    "state": "new",
                    "machineId": row["machineId"],
                    "dtCreated": at,
                    "dtStarted": None,
                    "dtFinished": None,
                    "error": None,
                }
                return json_reply({"data": row, "event": event})
            case (_, "startup-scripts", *_):
                return things.change_scripts(request, rest, account)
            case (_, "public-ips", *_):
                return things.change_ips(request, rest, account)
        raise no_such("Route")

    def _session(self, request: Request) -> Reply:
        """A bad key is no error here: it has no session."""
        key = self.keys.find(request.headers.get("authorization", ""))
        if key is None:
            return json_reply(None)
        team_id = self.world.accounts[PROVIDER, key.account].id
        return json_reply(session_json(key.account, team_id, self.switches.most_machines or 10))

    def _standing(self) -> Reply:
        is_good, has_payment, is_locked = _STANDINGS[self.switches.standing]
        return json_reply(
            {
                "isInGoodStanding": is_good,
                "hasPaymentMethod": has_payment,
                "isAdminLocked": is_locked,
                "messages": [],
            }
        )

    def _availability(self, request: Request) -> Reply:
        kind = BY_NAME.get(request.query.get("machineType", ""))
        region = region_of(request.query.get("region", ""))
        if kind is None or not region:
            raise bad("machineType and region: Required")
        shelf = shelf_of(self.world.stock_of(PROVIDER), kind, region)
        return json_reply({"available": shelf is not None and shelf.free >= kind.gpus})

    def _page(self, rows: Rows, request: Request) -> Reply:
        """Rows come newest first; `after` is the mark that the page before gave."""
        query = request.query
        limit, order = query.get("limit", "120"), query.get("order", "desc")
        if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
            raise bad("limit: must be between 1 and 120")
        rows = rows if order == "desc" else [*reversed(rows)]
        size = self.switches.page_size or int(limit)
        after = query.get("after", "pg0")
        if not after.startswith("pg") or not after[2:].isdecimal():
            raise bad("after: invalid cursor")
        start = int(after[2:])
        shown: dict[str, Json] = {
            "items": [*rows[start : start + size]],
            "hasMore": start + size < len(rows),
        }
        if start + size < len(rows):
            shown["nextPage"] = f"pg{start + size}"
        elif self.switches.null_next_page:
            shown["nextPage"] = None
        return json_reply(shown)

    def _key(self, request: Request) -> Key:
        """Raises: Problem."""
        key = self.keys.find(request.headers.get("authorization", ""))
        if key is None:
            raise problems.bad_key()
        return key

    def _do(
        self, operation: str, facts: Mapping[str, str], act: Act, *, account: str = ""
    ) -> Reply:
        """The call, or what goes wrong with it now."""
        return carry_out(
            self.world,
            self.world.faults.take(PROVIDER, operation, facts),
            act,
            done_first=_DONE_FIRST,
            told=self._told,
            instead=lambda fault: self._fail(fault, act, facts, account),
        )

    def _told(self, fault: Fault, reply: Reply) -> Reply:
        """What is answered to a call that was carried out."""
        match fault.name:
            case "rate_limit_after":
                return self._limited(fault)
            case "html_after":
                return problems.html_502()
            case "no_data":
                return json_reply({"event": None})
        return problems.internal().reply()

    def _fail(self, fault: Fault, act: Act, facts: Mapping[str, str], account: str) -> Reply:
        refusals = {
            "wrong_key": problems.bad_key(),
            "forbidden": Problem("FORBIDDEN", "Forbidden."),
            "conflict": Problem("CONFLICT", "Conflict."),
            "gone": Problem("GONE", "This API is no longer available."),
            "rule": bad("Invalid parameters."),
            "too_large": Problem("PAYLOAD_TOO_LARGE", "Payload too large."),
            "upstream": problems.internal(503),
            "list_page_fail": problems.internal(),
        }
        if fault.name in refusals:
            raise refusals[fault.name]
        match fault.name:
            case "5xx":
                return problems.internal(int(fault.number("status", 503))).reply()
            case "html_502":
                return problems.html_502()
            case "rate_limit":
                return self._limited(fault)
            case "delete_lies":
                machine = self._known(facts.get("id", ""), Key("", account, self.keys.main.right))
                return self._changed(machine, self._machines.delete(machine, lies=True))
        return act()

    def _limited(self, fault: Fault) -> Reply:
        if not self.switches.limit_has_body:
            return Reply(429)
        problem = Problem("TOO_MANY_REQUESTS", "Too many requests.")
        seconds = fault.options.get("seconds")
        headers = {} if seconds is None else {"Retry-After": str(int(fault.seconds(1.0)))}
        reply = problem.reply()
        return Reply(429, reply.body, {**reply.headers, **headers})
