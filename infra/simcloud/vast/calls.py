"""Calls on one instance: show, change, destroy, and what Vast can do to it from outside."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation

from infra.simcloud.keys import Key, Right
from infra.simcloud.mishaps import OUTBID
from infra.simcloud.orders import NotNow
from infra.simcloud.rented import EndedBy, Phase, Rented
from infra.simcloud.vast.broken import unavailable
from infra.simcloud.vast.facts import facts_of
from infra.simcloud.vast.hosts import PROVIDER
from infra.simcloud.vast.instances import Instances
from infra.simcloud.vast.logs import Results, log_text
from infra.simcloud.vast.problems import Problem, invalid_args, no_such_instance
from infra.simcloud.vast.shown import instance_row
from infra.simcloud.vast.switches import Switches
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

_LONGEST_LABEL = 1024
_LONGEST_COMMAND = 512
_COMMANDS = ("ls", "rm", "du")
_LEAST_BID_USD, _MOST_BID_USD_PER_GPU = Decimal("0.001"), 32


class Calls:
    """What the routes lead to."""

    def __init__(self, world: World, instances: Instances, switches: Switches) -> None:
        self._world = world
        self._instances = instances
        self._switches = switches
        self.results = Results(world)

    def find(self, instance_id: str, key: Key) -> Rented:
        """An instance of the key's account. Raises: Problem."""
        machine = self._world.find(PROVIDER, key.account, instance_id)
        if machine is None:
            raise no_such_instance(instance_id)
        return machine

    def show(self, instance_id: str, key: Key) -> Reply:
        """GET; what is no more is null under a 200."""
        machine = self._world.find(PROVIDER, key.account, instance_id)
        machine = machine or self._still_shown(instance_id, key)
        if machine is None and self._switches.gone_instance == "404":
            raise no_such_instance(instance_id)
        if machine is None:
            return json_reply({"instances": None})
        row = instance_row(self._world, machine, single=True, lagging=True)
        return json_reply({"instances": row})

    def rows(self, key: Key) -> list[dict[str, Json]]:
        """The account's instances as a list shows them."""
        now_s = self._world.clock.now_s()
        machines = self._world.listed(PROVIDER, key.account)
        machines += [
            machine
            for machine in self._world.of(PROVIDER, key.account)
            if now_s < facts_of(machine).shown_until_s and machine not in machines
        ]
        return [instance_row(self._world, machine, lagging=True) for machine in machines]

    def change(self, instance_id: str, key: Key, body: Mapping[str, Json]) -> Reply:
        """Stop, start or relabel."""
        machine = self.find(instance_id, key)
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
                    raise unavailable()
            case None if "label" in body:
                pass
            case _:
                raise invalid_args("'state' must be running or stopped")
        return json_reply({"success": True})

    def destroy(self, instance_id: str, key: Key, *, lag_s: float = 0.0) -> Reply:
        """DELETE; with a lag it goes on to show."""
        machine = self.find(instance_id, key)
        facts_of(machine).shown_until_s = self._world.clock.now_s() + lag_s
        self._world.end(machine, EndedBy.SELF if key.right is Right.MACHINE else EndedBy.API)
        return json_reply({"success": True, "msg": "Instance destroyed successfully"})

    def bid(self, machine: Rented, body: Mapping[str, Json]) -> Reply:
        """Another price of a bid; one that was outbid comes back when it pays more than before."""
        facts = facts_of(machine)
        try:
            bid_usd = Decimal(str(body["price"]))
        except (KeyError, InvalidOperation):
            raise invalid_args("'price' is required") from None
        if bid_usd < _LEAST_BID_USD:
            raise Problem(400, "invalid_args", "Please set a bid price >= 0.001.")
        if facts.bid_usd is None or bid_usd > _MOST_BID_USD_PER_GPU * facts.gpus:
            raise invalid_args("it is no bid, or too high a price")
        is_more = bid_usd > facts.bid_usd
        facts.bid_usd = bid_usd
        machine.usd_per_hour = bid_usd + machine.disk_usd_per_hour
        now_s = self._world.clock.now_s()
        if machine.phase is Phase.RUNNING:
            machine.meter(now_s, machine.usd_per_hour, machine.disk_usd_per_hour)
        elif machine.phase is Phase.STOPPED and machine.last_change == OUTBID and is_more:
            self._instances.start(machine)
        return json_reply({"success": True})

    def restart(self, machine: Rented, *, fresh: bool) -> Reply:
        """Reboot, or with `fresh` recycle: the container is made anew from its image."""
        try:
            if fresh:
                self._instances.recycle(machine)
            else:
                self._world.restart(machine)
        except NotNow:
            raise Problem(400, "invalid_args", "the instance does not run") from None
        return json_reply({"success": True})

    def logs(self, request: Request, machine: Rented, body: Mapping[str, Json]) -> Reply:
        """The last lines, behind a link."""
        return self.results.offer(request, log_text(machine, body), msg="Logs requested")

    def execute(self, request: Request, machine: Rented) -> Reply:
        """One of three harmless commands, its output behind a link."""
        try:
            command = str(json.loads(request.body)["command"])
            words = shlex.split(command)
        except (ValueError, KeyError, TypeError):
            raise Problem(483, "invalid_args", "Invalid json_body") from None
        if not words or words[0] not in _COMMANDS or len(command) > _LONGEST_COMMAND:
            raise Problem(400, "invalid_args", "Invalid command given.")
        output = machine.process.run('cd; exec "$@"', *words) if machine.process else ""
        msg = "Command is executing, wait a few seconds and then view the result_url"
        return self.results.offer(request, output, msg=msg, writeable_path="/workspace")

    def _still_shown(self, instance_id: str, key: Key) -> Rented | None:
        machine = self._world.machines.get(instance_id)
        if machine is None or (machine.provider, machine.account) != (PROVIDER, key.account):
            return None
        is_shown = self._world.clock.now_s() < facts_of(machine).shown_until_s
        return machine if is_shown else None
