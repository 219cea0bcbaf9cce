"""Calls that go wrong the same way everywhere: before they are carried out, or after it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from infra.simcloud.faults import Fault
from infra.simcloud.web import Reply
from infra.simcloud.world import World

HOLD_S = 120.0

Act = Callable[[], Reply]
Told = Callable[[Fault, Reply], Reply]  # what is answered although the call was carried out
Instead = Callable[[Fault], Reply]  # what happens in its place


class Refusal(Exception):
    """What was asked was not done; each provider says so in its own way."""

    def reply(self) -> Reply:
        """On the wire."""
        raise NotImplementedError


def carry_out(
    world: World,
    fault: Fault | None,
    act: Act,
    *,
    done_first: Collection[str],
    told: Told,
    instead: Instead,
) -> Reply:
    """The call, or what goes wrong with it now.

    Args:
        done_first: names of faults that do what was asked; the connection's own need no `told`.

    Raises: Refusal.
    """
    if fault is None:
        return act()
    if fault.name not in done_first:
        return instead(fault)
    try:
        reply = act()
    except Refusal as refusal:
        reply = refusal.reply()
    match fault.name:
        case "reply_lost":
            return Reply(cut=True)
        case "timeout_after":
            return Reply(cut=True, hold_s=world.delay_s(fault.seconds(HOLD_S)))
        case "unreadable":
            return replace(reply, body=reply.body[: len(reply.body) // 2])
    return told(fault, reply)
