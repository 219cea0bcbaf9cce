"""States of a run and of a lease, the legal moves with a reason each, and the restart map."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run stands."""

    PLANNED = "planned"
    RENTING = "renting"
    LOOKING = "looking"
    BOOTING = "booting"
    SHIPPING = "shipping"
    SETTING_UP = "setting_up"
    RUNNING = "running"
    COLLECTING = "collecting"
    KEPT = "kept"
    RETURNING = "returning"
    ENDED = "ended"


class LeaseState(StrEnum):
    """Where one machine stands, from intent to proof."""

    INTENDED = "intended"  # the label is durable; a machine may or may not exist
    HELD = "held"  # the provider named a machine
    RETURNING = "returning"  # asked to end; not yet proven gone
    HANDED = "handed_over"  # another run goes on with the machine, under a lease of its own
    CLOSED = "closed"  # proven gone, or closed by a person
    TOMBSTONE = "tombstone"  # no machine was found under the label; watched for a while


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CAPPED = "capped"
    EXPIRED = "expired"
    REFUSED = "refused"
    NO_CAPACITY = "no_capacity"
    UNREACHABLE = "unreachable"


class Wish(StrEnum):
    """What the person wants of a run now."""

    GO_ON = "go_on"
    CANCEL = "cancel"  # checkpoint, collect, return
    CANCEL_NOW = "cancel_now"  # return at once; what is not home is lost


class IllegalMove(AssertionError):
    """Our own mistake: the table has no such move."""


_S = State
MOVES: dict[State, dict[State, str]] = {
    _S.PLANNED: {
        _S.RENTING: "the intent is recorded before the provider is called",
        _S.PLANNED: "the next offer, under a new label, or with --wait waiting for one",
        _S.RETURNING: "the run ends, and an earlier machine is still on its way back",
        _S.ENDED: "cancelled, expired, refused, or no offer left",
    },
    _S.RENTING: {
        _S.BOOTING: "the provider returned a machine",
        _S.PLANNED: "nothing was rented: the next offer, or with --wait waiting for one",
        _S.LOOKING: "reply lost, or the process died in this state",
        _S.RETURNING: "nothing was rented, and the run ends",
        _S.ENDED: "nothing was rented, and no offer is left",
    },
    _S.LOOKING: {
        _S.BOOTING: "a machine carries the label: adopted",
        _S.PLANNED: "proven absent: the label is a tombstone, next offer",
        _S.RETURNING: "found, but not wanted any more",
        _S.ENDED: "proven absent, and the run ends",
    },
    _S.BOOTING: {
        _S.SHIPPING: "login works and the host key is pinned",
        _S.PLANNED: "this machine did not come up: it goes back, next offer",
        _S.RETURNING: "cancelled, capped, or no offer left",
    },
    _S.SHIPPING: {
        _S.SETTING_UP: "the agent is started",
        _S.PLANNED: "this machine is not fit: it goes back, next offer",
        _S.RETURNING: "cancelled, capped, refused, or no offer left",
    },
    _S.SETTING_UP: {
        _S.RUNNING: "the program started",
        _S.COLLECTING: "set-up ended the job, or the run is to stop",
        _S.PLANNED: "the machine was lost: another does the work",
        _S.RETURNING: "the machine was lost for good, or nothing is to be kept",
    },
    _S.RUNNING: {
        _S.COLLECTING: "the program ended, or the run is to stop",
        _S.PLANNED: "the machine was lost: another goes on from the last checkpoint at home",
        _S.RETURNING: "the machine was lost for good, or nothing is to be kept",
    },
    _S.COLLECTING: {
        _S.RETURNING: "everything is home, or cannot be had any more",
        _S.PLANNED: "a higher bid took the machine first: another makes anew what is not home",
        _S.KEPT: "everything is home, and the machine is kept for a next job",
    },
    _S.KEPT: {
        _S.RETURNING: "its time is over, or it is wanted back",
        _S.ENDED: "another run went on with the machine",
    },
    _S.RETURNING: {
        _S.ENDED: "every machine of the run is proven gone, or a person closed it",
    },
    _S.ENDED: {},
}

# A process that finds a run in this state without having moved it there goes on from here.
ON_RESTART: dict[State, State] = {_S.RENTING: _S.LOOKING}

_L = LeaseState
LEASE_MOVES: dict[LeaseState, dict[LeaseState, str]] = {
    _L.INTENDED: {
        _L.HELD: "the provider named a machine",
        _L.TOMBSTONE: "nothing was rented under this label",
    },
    _L.HELD: {
        _L.RETURNING: "the machine is to end",
        _L.HANDED: "another run goes on with the machine",
    },
    _L.HANDED: {},
    _L.RETURNING: {_L.CLOSED: "proven gone, or closed by a person"},
    _L.TOMBSTONE: {_L.HELD: "a machine appeared under an abandoned label"},
    _L.CLOSED: {},
}


# Beside these, for a machine that nobody bills: whatever may cost is never given up.
UNBILLED_LEASE_MOVES: dict[LeaseState, dict[LeaseState, str]] = {
    _L.RETURNING: {_L.TOMBSTONE: "an own computer has not answered for a day"},
}


def check_move(start: State, end: State) -> None:
    """Raise IllegalMove unless the table has this move; staying is always allowed."""
    if start is not end and end not in MOVES[start]:
        raise IllegalMove(f"a run cannot move from {start} to {end}")


def check_lease_move(start: LeaseState, end: LeaseState, *, bills: bool = True) -> None:
    """The same for a lease."""
    if not bills and end in UNBILLED_LEASE_MOVES.get(start, {}):
        return
    if start is not end and end not in LEASE_MOVES[start]:
        raise IllegalMove(f"a lease cannot move from {start} to {end}")
