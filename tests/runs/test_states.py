from __future__ import annotations

from itertools import product
from typing import TypeVar

import pytest

from orchestrator.runs.states import (
    LEASE_MOVES,
    MOVES,
    ON_RESTART,
    IllegalMove,
    LeaseState,
    State,
    check_lease_move,
    check_move,
)

T = TypeVar("T")


def reachable(start: T, moves: dict[T, dict[T, str]]) -> set[T]:
    found, open_ends = {start}, [start]
    while open_ends:
        new = set(moves[open_ends.pop()]) - found
        found |= new
        open_ends += new
    return found


@pytest.mark.parametrize(("start", "end"), list(product(State, State)))
def test_a_run_moves_as_the_table_says_and_no_other_way(start: State, end: State) -> None:
    if start is end or end in MOVES[start]:
        check_move(start, end)
    else:
        with pytest.raises(IllegalMove, match=f"from {start} to {end}"):
            check_move(start, end)


@pytest.mark.parametrize(("start", "end"), list(product(LeaseState, LeaseState)))
def test_a_lease_moves_as_the_table_says_and_no_other_way(
    start: LeaseState, end: LeaseState
) -> None:
    if start is end or end in LEASE_MOVES[start]:
        check_lease_move(start, end)
    else:
        with pytest.raises(IllegalMove, match=f"from {start} to {end}"):
            check_lease_move(start, end)


def test_every_state_of_a_run_and_of_a_lease_is_reachable() -> None:
    assert reachable(State.PLANNED, MOVES) == set(State)
    assert reachable(LeaseState.INTENDED, LEASE_MOVES) == set(LeaseState)


@pytest.mark.parametrize("state", State)
def test_a_run_can_end_from_every_state(state: State) -> None:
    assert State.ENDED in reachable(state, MOVES)


@pytest.mark.parametrize("state", [LeaseState.HELD, LeaseState.RETURNING])
def test_a_machine_leaves_the_books_only_as_proven_gone(state: LeaseState) -> None:
    assert LeaseState.TOMBSTONE not in reachable(state, LEASE_MOVES)
    # Handed over, it is in the books of the next run.
    assert LEASE_MOVES[LeaseState.HELD].keys() == {LeaseState.RETURNING, LeaseState.HANDED}


def test_the_ends_lead_nowhere() -> None:
    assert not MOVES[State.ENDED]
    assert not LEASE_MOVES[LeaseState.CLOSED]


def test_every_move_has_a_reason() -> None:
    runs = [reason for ends in MOVES.values() for reason in ends.values()]
    leases = [reason for ends in LEASE_MOVES.values() for reason in ends.values()]

    assert all(runs + leases)


def test_a_restart_in_the_middle_of_a_create_looks_before_it_rents() -> None:
    assert ON_RESTART == {State.RENTING: State.LOOKING}
    for start, end in ON_RESTART.items():
        check_move(start, end)
