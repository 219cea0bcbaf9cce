"""The market: asks of hosts, whose ids live until somebody takes them, and the search in them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal

from infra.simcloud.vast import filters
from infra.simcloud.vast.filters import BadFilter
from infra.simcloud.vast.hosts import Ask, Host, default_hosts
from infra.simcloud.vast.rows import offer_row
from infra.simcloud.vast.switches import Switches
from infra.simcloud.web import Json
from infra.simcloud.world import World

_DEFAULT_STORAGE_GB = Decimal(8)
_TYPES = ("on-demand", "ondemand", "bid", "reserved")
_DEFAULTS: dict[str, Json] = {"verified": {"eq": True}, "rentable": {"eq": True}}
_CONTROLS = ("verified", "datacenter", "rented", "geolocation", "driver_version")


class Market:
    """Everything that is offered."""

    def __init__(self, world: World, switches: Switches) -> None:
        self._world = world
        self._switches = switches
        self._random = random.Random(world.random.random())
        self.hosts = default_hosts(self._random, world.clock.now_s())
        world.stock += [host.stock for host in self.hosts]
        self._next_id = 7_000_000 + self._random.randrange(100_000)
        self.asks: dict[int, Ask] = {}
        for host in self.hosts:
            for gpus in host.sizes:
                self._list(host, gpus)
        self._list(self.hosts[0], 0)

    def find(self, ask_id: int) -> Ask | None:
        """An ask that could be taken now."""
        ask = self.asks.get(ask_id)
        return ask if ask and ask.gpus and self._is_open(ask) else None

    def relist(self, ask: Ask) -> None:
        """After it was taken: what is left is offered under another id."""
        if self.asks.pop(ask.id, None):
            self._list(ask.host, ask.gpus)

    def search(self, query: Mapping[str, Json]) -> list[dict[str, Json]]:
        """The offers of a flat query. Raises: BadFilter."""
        tests = {
            name: value
            for name, value in query.items()
            if name not in ("order", "type", "allocated_storage", "limit")
        }
        if self._switches.search_defaults:
            tests = _DEFAULTS | tests
        kind = query.get("type", "on-demand")
        if kind not in _TYPES:
            raise BadFilter(f"{kind} is not a valid type")
        storage = query.get("allocated_storage", float(_DEFAULT_STORAGE_GB))
        if not isinstance(storage, int | float):
            raise BadFilter("allocated_storage wants a number")
        filters.check(tests)
        now_s = self._world.clock.now_s()
        rows = [
            offer_row(ask, Decimal(str(storage)), now_s, is_bid=kind == "bid")
            for ask in list(self.asks.values())
            if self._is_open(ask)
        ]
        for name in tests:
            if rows and name not in rows[0] and name not in _CONTROLS:
                raise BadFilter(f"{name} is not a valid search key")
        found = [row for row in rows if filters.keep(_with_controls(row), tests)]
        limit = query.get("limit")
        most = limit if isinstance(limit, int) and limit > 0 else self._switches.search_cap
        return filters.ordered(found, _order(query.get("order")))[
            : min(most, self._switches.search_cap)
        ]

    def _list(self, host: Host, gpus: int) -> None:
        self._next_id += self._random.randrange(1, 90)
        self.asks[self._next_id] = Ask(self._next_id, host, gpus)

    def _is_open(self, ask: Ask) -> bool:
        return ask.host.stock.free >= ask.gpus and ask.host.end_s > self._world.clock.now_s()


def _with_controls(row: dict[str, Json]) -> dict[str, Json]:
    """The row, with what a query controls beside the fields that an offer shows."""
    place = row["geolocation"]
    hosting = row["hosting_type"]
    return row | {
        "verified": row["verification"] == "verified",
        "datacenter": isinstance(hosting, int) and hosting >= 1,
        "geolocation": place.rpartition(", ")[2] if isinstance(place, str) else None,
        "driver_version": row["driver_vers"],
    }


def _order(order: Json) -> list[tuple[str, bool]]:
    if order is None:
        return [("score", True)]
    pairs = order if isinstance(order, list) else [order]
    made = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadFilter("order wants [field, direction]")
        made.append((str(pair[0]), pair[1] == "desc"))
    return made
