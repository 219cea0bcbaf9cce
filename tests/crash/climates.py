"""What may go wrong with each simulated provider, from which random weather is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from infra.simcloud.faults import ANY_CALL, BELONGS_TO
from infra.simcloud.paperspace.machines import WORDS as PAPERSPACE_WORDS
from infra.simcloud.vast.faults import WORDS

Knob = tuple[str, str]  # fault, operation
Switches = dict[str, object]

_RUNPOD_CALLS = (
    "create", "get", "list", "delete", "action", "logs", "billing", "graphql", "catalog",
)  # fmt: skip
_VAST_CALLS = ("create", "get", "list", "delete", "logs", "keys", "billing", "account", "catalog")
_LAMBDA_CALLS = ("create", "get", "list", "delete", "account", "catalog")
_PAPERSPACE_CALLS = (
    "create",
    "get",
    "list",
    "delete",
    "action",
    "logs",
    "keys",
    "account",
    "catalog",
)
# Of what all simulators share only what this one plays.
_ON_VAST = (
    "no_capacity", "rule", "insufficient_funds", "too_large", "unprocessable", "list_lag_s",
    "list_page_fail", "delete_lies", "delete_5xx_done", "boot_stuck", "starting_stuck",
    "image_error", "ssh_late", "ssh_no_banner", "no_direct_ssh", "price_above", "error_status",
    "exited", "gpu_dead", "zero_gpu", "restart_loop", "restarts_elsewhere", "vanishes", "outbid",
    "billing_absent", "billing_lag_s",
)  # fmt: skip
_ON_LAMBDA = (
    "no_capacity", "rule", "quota", "inactive", "no_ids", "list_lag_s", "list_page_fail",
    "delete_lies", "delete_5xx_done", "boot_stuck", "ssh_late", "ssh_no_banner", "price_above",
    "error_status", "gpu_dead", "cuda_dead", "born_unhealthy", "vanishes",
)  # fmt: skip
_ON_PAPERSPACE = (
    "rule", "too_large", "list_lag_s", "list_page_fail", "delete_lies", "delete_5xx_done",
    "boot_stuck", "ssh_late", "ssh_no_banner", "price_above", "gpu_dead", "cuda_dead", "vanishes",
)  # fmt: skip


def _runpod_switches(chance: random.Random, seed: int) -> Switches:
    return {
        "page_size": chance.choice((1, 2, 1000)),
        "pod_key_ways": chance.choice((("v2", "graphql"), ("graphql",), ("delete",))),
        "graphql_gone": chance.random() < 0.3,
        "later_fields": chance.random() < 0.5,
        "billing_lag_s": chance.choice((0.0, 300.0, 3600.0)),
        "calls_per_minute": chance.choice((0, 0, 30, 60)),
        "says_pages": chance.random() < 0.5,
        "odd_catalog": bool(seed % 2),
    }


def _vast_switches(chance: random.Random, seed: int) -> Switches:
    return {
        "page_size": chance.choice((1, 2, 25)),
        "gone_instance": chance.choice(("null", "404")),
        "bad_key_status": chance.choice((401, 404)),
        "v0_list": chance.choice(("410", "200_error", "empty")),
        "charges_lag_s": chance.choice((0.0, 86_400.0)),
        "container_key_may": chance.choice((("show", "state", "destroy"), ("show", "destroy"))),
    }


def _lambda_switches(chance: random.Random, seed: int) -> Switches:
    return {
        "calls_per_s": chance.choice((0.0, 1.0)),
        "launch_every_s": chance.choice((0.0, 12.0)),
        "limit_has_body": chance.random() < 0.5,
        "shows_page_token": chance.random() < 0.5,
        "page_size": chance.choice((0, 1, 2)),
        "shows_later_fields": chance.random() < 0.5,
        "terminating_s": chance.choice((0.0, 20.0, 120.0)),
        "after_end": chance.choice(("listed", "by_id", "unknown")),
        "terminate_again": chance.choice(("200", "404")),
        "ip_share": chance.choice((0.0, 0.7, 1.0)),
        "cloud_init_s": chance.choice((0.3, 5.0)),
        "missing_status": chance.choice((404, 400)),
    }


def _paperspace_switches(chance: random.Random, seed: int) -> Switches:
    return {
        "page_size": chance.choice((0, 1, 2)),
        "null_next_page": chance.random() < 0.5,
        "region_as": chance.choice(("code", "label")),
        "ip_share": chance.choice((0.0, 0.7, 1.0)),
        "script_s": chance.choice((0.3, 5.0)),
        "stopping_s": chance.choice((5.0, 60.0)),
        "deleting_s": chance.choice((0.0, 20.0, 50.0)),
        "delete_needs_off": chance.random() < 0.3,
        "after_end": chance.choice(("404", "dtDeleted")),
        "script_forgets": chance.random() < 0.3,
        "auto_shutdown": chance.choice(("absolute", "idle")),
        "has_availability": chance.random() < 0.7,
        "has_standing": chance.random() < 0.7,
        "limit_has_body": chance.random() < 0.5,
    }


def _as_they_are(held: Collection[Knob]) -> Switches:
    return {}


def _a_pods_way(held: Collection[Knob]) -> Switches:
    """A pod comes by what is to go wrong when it ends itself: its guard tries v2, then GraphQL."""
    if any(call == "action" for _, call in held):
        ways: Switches = {"pod_key_ways": ("v2", "graphql")}
    elif _LIE in held:
        ways = {"pod_key_ways": ("graphql",)}
    else:
        return {}
    return ways | ({"graphql_gone": False} if _LIE in held else {})


def _off_first(held: Collection[Knob]) -> Switches:
    """The only action that is asked of a machine is to stop, where it must be off to be deleted."""
    return {"delete_needs_off": True} if any(call == "action" for _, call in held) else {}


_LIE = ("graphql_lies", "graphql")


@dataclass(frozen=True)
class Climate:
    """One provider's."""

    knobs: tuple[Knob, ...]
    switches: Callable[[random.Random, int], Switches]
    max_costs: tuple[str, ...]
    unlike: tuple[str, ...] = ()  # acts that do not happen there
    alone: Collection[str] = ()  # calls that are made where a machine ends itself, unwatched
    way: Callable[[Collection[Knob]], Switches] = _as_they_are  # what is drawn needs it to happen
    # By call: what goes wrong with a machine of which alone it is asked.
    asked_of: Mapping[str, Knob] = field(default_factory=dict)
    never: Mapping[Knob, str] = field(default_factory=dict)  # drawn, and met by nobody: why

    @property
    def met_alone(self) -> set[Knob]:
        """What hardly happens to a run whose driver is there."""
        return {one for one in self.knobs if one[1] in self.alone or one == _LIE}

    @property
    def often(self) -> list[Knob]:
        """What is drawn more often than the rest."""
        return [one for one in self.knobs if one[1] in ("create", "machine", "list", "delete")]


CLIMATES = {
    "runpod": Climate(
        (*((fault, call) for fault in ANY_CALL for call in _RUNPOD_CALLS), *BELONGS_TO.items()),
        _runpod_switches,
        ("0.12", "0.50", "2.00"),
        alone=("action", "billing"),
        way=_a_pods_way,
        never={
            (fault, "create"): "another provider's answer: nothing happens under that word here"
            for fault in ("quota", "inactive", "no_ids")
        },
    ),
    "vast": Climate(
        (
            *((fault, call) for fault in ANY_CALL | WORDS.any_call for call in _VAST_CALLS),
            *((fault, BELONGS_TO[fault]) for fault in _ON_VAST),
            *WORDS.belongs_to.items(),
        ),
        _vast_switches,
        ("0.12", "0.50", "2.00"),
        alone=("billing",),
        never={("start_unavailable", "action"): "nobody starts an instance that has stopped"},
    ),
    "lambda": Climate(
        (
            *((fault, call) for fault in ANY_CALL for call in _LAMBDA_CALLS),
            *((fault, BELONGS_TO[fault]) for fault in _ON_LAMBDA),
        ),
        _lambda_switches,
        ("3.00", "6.00", "12.00"),
        # Nothing is paid in beforehand, and no machine can be stopped and started.
        ("balance gone", "balance low", "stopped and started", "host_restarted"),
    ),
    "paperspace": Climate(
        (
            *((fault, call) for fault in ANY_CALL for call in _PAPERSPACE_CALLS),
            *((fault, BELONGS_TO[fault]) for fault in _ON_PAPERSPACE),
            *PAPERSPACE_WORDS.belongs_to.items(),
        ),
        _paperspace_switches,
        ("3.00", "6.00", "12.00"),  # an hour that has begun is billed whole
        # Nothing is paid in beforehand. Somebody who stops and starts a machine in the console has
        # another hour billed, and the run's figures do not count starts.
        ("balance gone", "balance low", "stopped and started"),
        way=_off_first,
        asked_of={"logs": ("never_on", "machine")},
    ),
}
