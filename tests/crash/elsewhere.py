"""The stories of a run on simulated Vast.ai, Lambda, Paperspace, and on several at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.runs.states import Outcome, State, Wish
from tests.crash.acts import (
    at_its_pace,
    both,
    charge_traffic,
    crowd,
    cut_when,
    down_for,
    exchange_keys,
    fault,
    lose_when,
    nobody_looks_for,
    of,
    one_more_neighbour,
    only,
    other_home,
    restart_when,
    returns_refused_for,
    revoked_for,
    sell_out_where_taken,
    step_clock,
    switched,
    take_away,
    under_anothers_key_for,
    wish_when,
)
from tests.crash.clouds import UNGUARDED
from tests.crash.home_beside import act_beside, home_beside
from tests.crash.machine import Program
from tests.crash.stage import Stage
from tests.crash.stories import SLEEP_S, STORIES, Story

HOUR_S = 3600.0
_LONG = Program(seconds=3000.0)
_A_WHILE = Program(seconds=200.0, checkpoint_every_s=40.0)


def _ends(*ends: tuple[Outcome, int]) -> frozenset[tuple[Outcome, int]]:
    return frozenset(ends)


_O = Outcome
_WELL = _ends((_O.SUCCEEDED, 0))
_NIGHT = _ends((_O.SUCCEEDED, 0), (_O.SUCCEEDED, 8), (_O.EXPIRED, 5), (_O.EXPIRED, 8))


# By provider: a cap that the work reaches although a fifth of it may go to a create that nobody
# knows of; and a silence after which it is not reached yet.
_TIGHT = {"vast": ("0.20", 1200.0), "lambda": ("1.10", 2000.0), "paperspace": ("3.90", 13000.0)}


def _to_the_cap(where: str) -> Story:
    """With what each bills besides GPU time, or in longer steps."""
    max_cost, quiet_s = _TIGHT[where]
    return Story(
        "cap reached",
        _ends((_O.CAPPED, 5)),
        charge_traffic("0.001"),
        nobody_looks_for(quiet_s, State.RUNNING),
        program=Program(seconds=8 * HOUR_S, checkpoint_every_s=400.0, reads_bytes=200_000_000),
        max_cost=max_cost,
        max_duration="8h",
        hold="1m",
        pace_s=12.0,
    )


def _anywhere() -> Iterator[Story]:
    """What is told of every provider."""
    yield Story("plain", _WELL)
    yield Story("reply lost", _WELL, fault("reply_lost", "create"))
    yield Story("5xx after create", _WELL, fault("5xx_after", "create"))
    yield Story("no capacity, then the next", _WELL, fault("no_capacity"))
    yield Story("price changed, then the next", _WELL, fault("price_above"), told="costs .* next:")
    yield Story("boot stuck, then the next", _WELL, fault("boot_stuck"), pace_s=40.0)
    yield Story("ssh late", _WELL, fault("ssh_late"))
    yield Story("delete lies", _WELL, fault("delete_lies"))
    yield Story("list lag", _WELL, fault("list_lag_s", seconds=8.0))
    yield Story(
        "two homes",
        _WELL,
        both(other_home, home_beside, fault("reply_lost", "create", times=2)),
        act_beside,
    )
    yield STORIES["host lost while running"]
    yield Story(
        "provider down for an hour",
        _WELL,
        meddle=down_for(HOUR_S, State.RUNNING),
        program=_A_WHILE,
        pace_s=20.0,
    )
    yield Story(
        "returns refused for an hour",
        _WELL,
        meddle=returns_refused_for(HOUR_S),
        pace_s=10.0,
    )
    yield from _by_a_person()


def _by_a_person() -> Iterator[Story]:
    """What a person does, or somebody at their keys and clock."""
    yield Story(
        "cancel while running",
        _ends((_O.CANCELLED, 9)),
        meddle=wish_when(State.RUNNING, Wish.CANCEL),
        program=_LONG,
    )
    yield Story(
        "cancel --now",
        _ends((_O.CANCELLED, 8)),
        meddle=wish_when(State.RUNNING, Wish.CANCEL_NOW),
        program=_LONG,
    )
    yield Story(
        "key revoked while running",
        _WELL,
        meddle=revoked_for(600.0, State.RUNNING),
        program=_A_WHILE,
        pace_s=10.0,
    )
    yield Story(
        "another account's key",
        _WELL,
        revive=exchange_keys,
        meddle=under_anothers_key_for(120.0),
        program=_A_WHILE,
        pace_s=5.0,
        since="before save booting→shipping",
    )
    yield Story(
        "clock stepped by 10 min",
        _WELL,
        meddle=step_clock(600.0, State.RUNNING),
        program=_A_WHILE,
        pace_s=10.0,
    )
    yield Story(
        "clock set back by 10 min",
        _WELL,
        meddle=step_clock(-600.0, State.RUNNING),
        program=_A_WHILE,
        pace_s=10.0,
    )
    yield Story("asleep for 8 h", _NIGHT, revive=lambda stage: stage.sleep(SLEEP_S), pace_s=5.0)


def _on_vast() -> Iterator[Story]:
    """What Vast.ai alone does."""
    yield Story("an error that rented anyway", _WELL, fault("low_bid"), told="rented .* on vast")
    yield Story("an id that never appears", _WELL, fault("phantom"), pace_s=40.0)
    yield Story("rented, and no id in the answer", _WELL, fault("no_id"))
    yield Story("its host's docker cannot start it", _WELL, fault("oci_error"), pace_s=20.0)
    yield Story("its container has no key", _WELL, fault("env_missing"), told="guard is not armed")
    yield Story("the list has a page without rows", _WELL, fault("empty_page", "list"))
    yield Story(
        "network cut while collecting",
        _ends((_O.SUCCEEDED, 8)),
        meddle=cut_when(State.COLLECTING),
        max_cost="0.14",
        pace_s=60.0,
    )
    yield Story(
        "taken away twice while running",
        _WELL,
        meddle=take_away(2, State.RUNNING),
        program=Program(seconds=60.0),
        every="20s",
        pace_s=2.0,
        spot=True,
        told="taken away by a higher bid",
    )
    yield Story(
        "taken away when four fifths are done",
        _WELL,
        meddle=take_away(1, State.RUNNING, after_s=96.0),
        program=Program(seconds=120.0),
        every="30s",
        pace_s=2.0,
        spot=True,
        repeats_s=30.0,
        told="taken away by a higher bid",
    )
    for state in (State.BOOTING, State.SHIPPING, State.SETTING_UP, State.COLLECTING):
        yield Story(f"taken away while {state}", _WELL, meddle=take_away(1, state), spot=True)
    yield Story(
        "killed for good",
        _NIGHT,
        revive=lambda stage: stage.leave(SLEEP_S),
        pace_s=5.0,
    )


def _on_lambda() -> Iterator[Story]:
    """What Lambda alone does."""
    yield Story("a launch too soon may have rented", _WELL, fault("rate_limit_after", "create"))
    yield Story("rented, and no id in the answer", _WELL, fault("no_ids"))
    yield Story("crowded account", _WELL, crowd, one_more_neighbour)
    yield Story("CUDA is dead", _WELL, fault("cuda_dead"), pace_s=20.0, told="stayed dead")
    yield Story("never healthy", _WELL, fault("born_unhealthy"), pace_s=20.0)
    yield Story("billed from the launch on", _WELL, switched(bills_from_launch=True))


def _on_paperspace() -> Iterator[Story]:
    """What Paperspace alone does."""
    yield Story("no capacity: it stays off", _WELL, fault("never_on"), pace_s=20.0)
    yield Story("an address that nobody asked for", _WELL, fault("static_ip"))
    yield Story(
        "restarted while running",
        _WELL,
        meddle=restart_when(State.RUNNING),
        program=_A_WHILE,
        pace_s=5.0,
        told="the machine was lost; next: .* on paperspace",
    )
    yield Story("created, and not told", _WELL, fault("no_data"))
    yield Story("a create too soon may have rented", _WELL, fault("rate_limit_after", "create"))
    yield Story("its script's answer is lost", _WELL, fault("reply_lost", "keys"))
    yield Story("must be off to be deleted", _WELL, switched(delete_needs_off=True))
    yield Story("deleted, and still shown", _WELL, switched(after_end="dtDeleted"))
    yield Story("CUDA is dead", _WELL, fault("cuda_dead"), pace_s=20.0, told="stayed dead")


def _without_a_guard() -> Iterator[Story]:
    """What happens where nothing ends a machine from inside."""
    yield Story(
        "killed for good, and reaped",
        _ends((_O.EXPIRED, 5), (_O.EXPIRED, 8), (_O.SUCCEEDED, 0), (_O.SUCCEEDED, 8)),
        revive=both(lambda stage: stage.leave(SLEEP_S), Stage.reap_from_elsewhere),
        guarded=False,
        pace_s=5.0,
    )


_ALL = ("vast", "runpod", "lambda", "paperspace")
_ONE_HOST = only("vast", "RTX A4000", "verified")


_no_paperspace = of("paperspace", "rule", "create", times=None)


def _on_all() -> Iterator[Story]:
    """What goes on at another provider."""
    yield Story("plain", _WELL)
    yield Story(
        "Vast.ai has nothing",
        _WELL,
        of("vast", "no_capacity", times=None),
        told="(?s)next: .* on runpod.*rented .* on runpod",
    )
    yield Story(
        "only Lambda has something",
        _WELL,
        both(*(of(name, "no_capacity", times=None) for name in ("vast", "runpod")), _no_paperspace),
        told="rented .* on lambda",
    )
    yield Story(
        "Vast.ai's key is refused",
        _WELL,
        of("vast", "wrong_key", "create", times=None),
        told="rented .* on runpod",
    )
    yield Story(
        "Vast.ai cannot be asked",
        _WELL,
        of("vast", "5xx", "catalog", times=None),
        told="rented .* on runpod",
    )
    yield Story(
        "Vast.ai never boots",
        _WELL,
        both(_ONE_HOST, of("vast", "boot_stuck", times=None)),
        pace_s=40.0,
        told="(?s)rented .* on vast.*rented .* on runpod",
    )
    yield Story(
        "Vast.ai never boots, and takes nothing back for an hour",
        _WELL,
        both(_ONE_HOST, of("vast", "boot_stuck", times=None)),
        returns_refused_for(HOUR_S),
        pace_s=20.0,
        told="(?s)rented .* on vast.*rented .* on runpod",
    )
    yield Story(
        "lost on Vast.ai while running",
        _WELL,
        _ONE_HOST,
        lose_when(State.RUNNING),
        program=_A_WHILE,
        pace_s=10.0,
        told="(?s)rented .* on vast.*rented .* on",
    )
    yield Story(
        "taken away on Vast.ai while running",
        _WELL,
        _ONE_HOST,
        both(take_away(1, State.RUNNING, after_s=50.0), sell_out_where_taken),
        program=Program(seconds=120.0),
        every="30s",
        pace_s=2.0,
        spot=True,
        repeats_s=30.0,
        told="(?s)rented .* on vast.*taken away by a higher bid.*rented .* on (runpod|lambda|pap)",
    )
    yield Story("asleep for 8 h", _NIGHT, revive=lambda stage: stage.sleep(SLEEP_S), pace_s=5.0)
    yield Story(
        "nobody has anything",
        _ends((_O.NO_CAPACITY, 3)),
        both(*(of(name, "no_capacity", times=None) for name in _ALL[:3]), _no_paperspace),
    )


def _cap(story: Story, providers: tuple[str, ...]) -> str:
    """The story's own cap; else one whose fifth covers what did no work.

    Where an hour that has begun counts whole, that is two hours: of a machine that never appeared,
    and of one dearer than its offer.
    """
    if story.max_cost != Story.max_cost:
        return story.max_cost
    if "paperspace" in providers:
        return "12.00"
    return "6.00" if "lambda" in providers else story.max_cost


def _on(story: Story, where: str, providers: tuple[str, ...]) -> Story:
    is_lambda = "lambda" in providers
    is_unguarded = not UNGUARDED.isdisjoint(providers)
    return replace(
        story,
        name=f"{where}: {story.name}",
        providers=providers,
        unguarded=is_unguarded,
        max_cost=_cap(story, providers),
        sweeps=providers == ("paperspace",),
        begin=both(at_its_pace, story.begin) if is_lambda else story.begin,
    )


_ANYWHERE = {one.name: one for one in _anywhere()}
# Told on every provider; RunPod's own stories lack these.
_ON_RUNPOD_TOO = (
    "two homes",
    "key revoked while running",
    "another account's key",
    "provider down for an hour",
    "returns refused for an hour",
    "clock stepped by 10 min",
    "clock set back by 10 min",
)

ELSEWHERE = {
    story.name: story
    for story in (
        *(
            _on(one, "vast", ("vast",))
            for one in (*_ANYWHERE.values(), _to_the_cap("vast"), *_on_vast())
        ),
        *(
            _on(one, "lambda", ("lambda",))
            for one in (
                *_ANYWHERE.values(),
                _to_the_cap("lambda"),
                *_on_lambda(),
                *_without_a_guard(),
            )
        ),
        *(
            _on(one, "paperspace", ("paperspace",))
            for one in (
                *_ANYWHERE.values(),
                _to_the_cap("paperspace"),
                *_on_paperspace(),
                *_without_a_guard(),
            )
            if one.name != "no capacity, then the next"  # it says so in its own way
        ),
        *(_on(one, "all", _ALL) for one in _on_all()),
        *(_on(_ANYWHERE[name], "runpod", ("runpod",)) for name in _ON_RUNPOD_TOO),
    )
}
