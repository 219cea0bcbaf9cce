from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import Unreachable
from orchestrator.lifecycle.world import Interrupted
from orchestrator.remote.shell import Shell
from orchestrator.runs.states import Wish
from tests.lifecycle.worlds import IdleShell, quiet_world
from tests.runs.samples import NOW_S, lease, run


def test_an_intent_is_good_for_one_create_and_knows_its_age() -> None:
    clock = FakeClock(NOW_S)
    world = quiet_world(clock=clock)
    intended = lease(intent=world.new_intent())
    world.remember_intent(intended)
    clock.advance(7, asleep=True)

    assert world.take_intent(intended) == 7
    assert world.take_intent(intended) is None


def test_the_intent_of_another_process_is_not_ours_to_send() -> None:
    ours, theirs = quiet_world(), quiet_world()
    intended = lease(intent=theirs.new_intent())
    theirs.remember_intent(intended)

    assert ours.take_intent(intended) is None
    assert theirs.take_intent(intended) == 0


def test_an_intent_that_was_replaced_meanwhile_is_not_sent() -> None:
    world = quiet_world()
    world.remember_intent(lease(intent="old"))

    assert world.take_intent(lease(intent="new")) is None


def test_a_lease_without_an_intent_is_never_sent() -> None:
    world = quiet_world()
    world.remember_intent(lease())

    assert world.take_intent(lease()) is None


def test_no_two_intents_are_alike() -> None:
    world = quiet_world()

    assert len({world.new_intent() for _ in range(100)}) == 100


def test_looking_for_a_machine_takes_time_awake_only() -> None:
    clock = FakeClock(NOW_S)
    world = quiet_world(clock=clock)

    assert world.awake_since_first_saw_s("label-0") == 0
    clock.advance(30)
    clock.advance(3600, asleep=True)

    assert world.awake_since_first_saw_s("label-0") == 30
    assert world.awake_since_first_saw_s("label-1") == 0


def test_a_connection_is_opened_once_and_again_after_it_was_dropped() -> None:
    opened: list[IdleShell] = []

    def open_shell() -> Shell:
        opened.append(IdleShell())
        return opened[-1]

    world = quiet_world(open_shell=open_shell)
    first = world.shell(run(), lease())
    moved = replace(lease(), version=3)

    assert world.shell(run(), moved) is first
    world.drop_shell(moved)
    world.drop_shell(moved)
    assert opened[0].closed == 1
    assert world.shell(run(), lease()) is not first


@pytest.mark.parametrize("fault", [Unreachable("gone"), OSError("reset")])
def test_a_connection_that_cannot_even_be_closed_is_forgotten(fault: Exception) -> None:
    broken = IdleShell(fault)
    world = quiet_world(open_shell=lambda: broken)
    world.shell(run(), lease())

    world.drop_shell(lease())

    assert (broken.closed, world.shells) == (1, {})


def test_a_connection_that_does_not_open_is_not_kept() -> None:
    answers: Iterator[Unreachable | IdleShell] = iter([Unreachable("not yet"), IdleShell()])

    def open_shell() -> Shell:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    world = quiet_world(open_shell=open_shell)

    with pytest.raises(Unreachable):
        world.shell(run(), lease())
    assert isinstance(world.shell(run(), lease()), IdleShell)


def test_the_longest_stretch_without_a_list_is_remembered_from_the_create_on() -> None:
    clock = FakeClock(NOW_S + 3)
    sent, stretches = lease(sent_s=NOW_S), []
    world = quiet_world(clock=clock)

    for wait_s in (0, 4, 60, 2):  # the second list is one that another run had asked for before
        clock.advance(wait_s)
        stretches.append(world.longest_unlisted_s(sent, clock.elapsed_s() - (wait_s == 4)))

    assert stretches == [3, 3, 61, 61]


def test_a_long_transfer_is_interrupted_by_a_new_wish() -> None:
    clock, wishes = FakeClock(NOW_S), [Wish.GO_ON]
    world = quiet_world(clock=clock, wish_of=lambda _: wishes[-1])
    check = world.keep_going(run())

    clock.advance(2)
    check()
    wishes.append(Wish.CANCEL_NOW)
    clock.advance(2)

    with pytest.raises(Interrupted):
        check()


def test_the_wish_is_asked_for_once_a_second_at_most() -> None:
    clock, asked = FakeClock(NOW_S), [0]

    def wish_of(_: str) -> Wish:
        asked[0] += 1
        return Wish.GO_ON

    check = quiet_world(clock=clock, wish_of=wish_of).keep_going(run())
    for _ in range(100):
        clock.advance(0.125)
        check()

    assert asked[0] == 12
