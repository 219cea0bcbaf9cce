"""What of a run's story is told to others, and telling it until somebody listens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.clock import Clock, to_iso
from orchestrator.errors import NotifyError
from orchestrator.lifecycle.views import dollars, exit_code
from orchestrator.lifecycle.world import Again
from orchestrator.notify.message import Event, Message
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State
from orchestrator.store.journal import Journal
from orchestrator.store.outbox import Waiting

log = logging.getLogger(__name__)

NOT_RETURNED_S = 600.0
_SHARES = (Decimal("0.95"), Decimal("0.8"), Decimal("0.5"))
_AGAIN_S = (2.0, 10.0, 30.0, 120.0, 600.0)
_GIVE_UP_S = 86_400.0
_LOOK_S = 1.0
_STAY_S = 900.0  # how long a driver without runs stays for a message that nobody takes

Post = Callable[[str, bytes, float], None]


def messages_between(before: Run, after: Run, now_s: float) -> list[Message]:
    """What this change of a run tells others; a message found twice has the same id."""
    found: list[tuple[str, Event, dict[str, object]]] = []
    if after.state is not before.state and _runs_now(before, after):
        found.append(("started", Event.STARTED, {}))
    if (share := _share(after, now_s)) is not None and after.state is not State.ENDED:
        found.append((f"cap.{share}", Event.CAP_SHARE, {"share": str(share)}))
    for lease in after.leases:
        since_s = lease.return_since_s
        if lease.state is LeaseState.RETURNING and since_s and now_s - since_s > NOT_RETURNED_S:
            machine = {"provider": lease.provider, "id": lease.machine_id, "label": lease.label}
            event = f"not_returned.{lease.machine_id}"
            found.append((event, Event.NOT_RETURNED, {"machine": machine}))
    if not after.is_open and before.is_open:
        found.append(("finished", Event.FINISHED, _ending(after)))
    return [
        Message(f"{after.id}.{name}", after.id, event, now_s, {**_facts(after, now_s), **more})
        for name, event, more in found
    ]


@dataclass(frozen=True, slots=True)
class Announcer:
    """Tells messages one after another; a receiver that is down delays nobody else."""

    journal: Journal
    clock: Clock
    post: Post

    def tell(self) -> Again:
        """Try what is due, up to the first that is not taken; a driver stays for what is young."""
        now_s = self.clock.now_s()
        for message in self.journal.waiting_messages():
            if message.next_s > now_s or not self._try(message, now_s):
                break  # a receiver that hangs holds nobody up for long
        left = self.journal.waiting_messages()
        return Again(_LOOK_S, stays=any(now_s - message.at_s < _STAY_S for message in left))

    def _try(self, message: Waiting, now_s: float) -> bool:
        try:
            self.post(message.id, message.body, now_s)
        except NotifyError as error:
            if now_s - message.at_s > _GIVE_UP_S:
                log.warning("given up message=%s: %s", message.id, error.problem)
                self.journal.message_done(message.id)
                return False
            wait_s = _AGAIN_S[min(message.tries, len(_AGAIN_S) - 1)]
            log.info("told again in %.0f s message=%s: %s", wait_s, message.id, error.problem)
            self.journal.message_again(message.id, now_s + wait_s)
            return False
        self.journal.message_done(message.id)
        return True


def to_waiting(message: Message) -> Waiting:
    """A message as the store keeps it."""
    return Waiting(message.id, message.run_id, message.body(to_iso(message.at_s)), message.at_s)


def _runs_now(before: Run, after: Run) -> bool:
    """Whether the program has started since; one that ended soon was never seen running."""
    if after.state is State.RUNNING:
        return True
    ended = before.state is State.SETTING_UP and after.state is State.COLLECTING
    return ended and bool(after.progress)


def _share(run: Run, now_s: float) -> Decimal | None:
    """The highest share of the cap that is spent, among those that are told."""
    if run.cap_usd <= 0:
        return None
    spent = run.upper_usd(now_s) / run.cap_usd
    return next((share for share in _SHARES if spent >= share), None)


def _facts(run: Run, now_s: float) -> dict[str, object]:
    return {
        "run": run.id,
        "name": run.name,
        "state": str(run.state),
        "cap_usd": dollars(run.cap_usd),
        "spent_upper_usd": dollars(run.upper_usd(now_s)),
    }


def _ending(run: Run) -> dict[str, object]:
    rented = [lease for lease in run.leases if lease.has_machine]
    return {
        "outcome": str(run.outcome) if run.outcome else None,
        "exit_code": exit_code(run),
        "problem": run.failure.problem if run.failure else None,
        "cost_usd": dollars(run.cost_usd(run.ended_s or 0.0)),
        "returned": {
            "proven": all(one.returned_by != "user" and not one.handed_to for one in rented)
        },
        "artifacts": len(run.artifacts),
        "artifacts_missing": list(run.artifacts_missing)[:20],
    }
