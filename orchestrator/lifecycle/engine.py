"""The engine: load a run, make one step, save it, say when to come back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from orchestrator.budget.ledger import (
    Entry,
    EntryKind,
    Limits,
    Standing,
    accrued_usd,
    check_limits,
    committed_usd,
)
from orchestrator.budget.month import month_of
from orchestrator.errors import (
    BadCredentials,
    BudgetRefused,
    GpuleaseError,
    HomeError,
    RateLimited,
    StaleRun,
)
from orchestrator.lifecycle.announcing import messages_between, to_waiting
from orchestrator.lifecycle.steps.collect import collect, end_collected
from orchestrator.lifecycle.steps.connect import connect
from orchestrator.lifecycle.steps.end import end
from orchestrator.lifecycle.steps.give_back import give_back
from orchestrator.lifecycle.steps.keep import keep
from orchestrator.lifecycle.steps.over import end_unshipped_or_cancel, must_end
from orchestrator.lifecycle.steps.rent import create, look, record_intent
from orchestrator.lifecycle.steps.ship import ship
from orchestrator.lifecycle.steps.unreachable import (
    answered,
    leave_behind,
    reached,
    wait_for_answer,
)
from orchestrator.lifecycle.steps.watch import end_watched, watch
from orchestrator.lifecycle.world import Moved, Step, Wait, World
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, State, Wish
from orchestrator.store.journal import Journal

log = logging.getLogger(__name__)

STEPS: dict[State, Callable[[Run, World], Step]] = {
    State.PLANNED: record_intent,
    State.RENTING: create,
    State.LOOKING: look,
    State.BOOTING: connect,
    State.SHIPPING: ship,
    State.SETTING_UP: watch,
    State.RUNNING: watch,
    State.COLLECTING: collect,
    State.KEPT: keep,
    State.RETURNING: end,
}
# Whether a machine must go now: asked by those steps first, and beside one that takes long.
ENDS: dict[State, Callable[[Run, World], Step | None]] = {
    State.BOOTING: end_unshipped_or_cancel,
    State.SHIPPING: end_unshipped_or_cancel,
    State.SETTING_UP: end_watched,
    State.RUNNING: end_watched,
    State.COLLECTING: end_collected,
}
# Not beside a create, whose answer must find the run as it was, nor beside an upload, which lets
# older machines go by itself.
_RETURNS_BESIDE = (*(set(ENDS) - {State.SHIPPING}), State.KEPT, State.RETURNING)
# Of a tombstone, one may have lived while nobody watched.
_COUNTED = (LeaseState.CLOSED, LeaseState.TOMBSTONE, LeaseState.HANDED)
_TROUBLE_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_LONGEST_REST_S = 60.0  # a cap and a machine on its way back are looked after all the same
_LIMITED_S = 5.0
_UNWRITTEN_S = 30.0  # a delete that cannot be written down is sent so often
_FULL_S = 5.0
_QUIET_S = 30.0  # a run that only waits is still written this often, so that figures are fresh


class Engine:
    """Moves runs. May be asked twice; must be asked again after a crash."""

    def __init__(
        self, journal: Journal, world: World, *, tells: bool = False, limits: Limits | None = None
    ) -> None:
        """Nothing moves yet.

        Args:
            tells: also put what others are to be told into the outbox, with each change.
            limits: of the config file, for machines that no plan has asked for.
        """
        self._journal = journal
        self._world = world
        self._tells = tells
        self._limits = limits or Limits()
        self._trouble: dict[str, int] = {}
        self._stepping: set[str] = set()  # runs whose own step some thread is making
        self._overtaken: set[str] = set()  # those of them that another thread has ended
        self._unwritten_s: dict[str, float] = {}  # last delete under a lease that stands nowhere
        self._accepted_s: dict[str, float] = {}  # the first of them that was accepted

    def ends_soon(self, is_wanted_back: Callable[[], bool]) -> None:
        """From now on long effects ask this, and end early when it is so."""
        self._world.is_wanted_back = is_wanted_back

    def drive(self, run_id: str) -> float | None:
        """One step of a run. Returns: seconds until the next, None when the run is over.

        A process that dies anywhere in here loses nothing: whatever was not saved is looked for.
        """
        run = self._journal.run(run_id)
        if not run.is_open:
            self._world.forget_run(run)
            return None
        try:
            run, back_s = self._give_back(run)
            self._stepping.add(run_id)
            seconds = self._step(run)
        except StaleRun:
            log.info("somebody else moved the run run=%s", run_id)
            return 0.0
        finally:
            self._stepping.discard(run_id)
            if run_id in self._overtaken:
                self._overtaken.discard(run_id)
                self._world.forget_run(run)
        return seconds if back_s is None else min(seconds, back_s)

    def drive_beside(self, run_id: str) -> None:
        """What must not wait for a step of the run that another thread has been at for long.

        A machine that nobody may keep now goes back, and older ones go on going. The step itself
        loses its race when it ends (`StaleRun`). Its connections and files are left to it: closed
        under its hands, their numbers may be another file's the next moment.
        """
        if run_id in self._stepping:
            hands = replace(self._world, shells={}, stores={})
            other = Engine(self._journal, hands, tells=self._tells, limits=self._limits)
            other._unwritten_s, other._accepted_s = self._unwritten_s, self._accepted_s
            if other._overtake(run_id):
                self._overtaken.add(run_id)

    def _overtake(self, run_id: str) -> bool:
        """Whether the run was moved to its end, while another thread still makes its step."""
        run = self._journal.run(run_id)
        over = False
        try:
            step = ENDS[run.state](run, self._world) if run.state in ENDS else None
            if isinstance(step, Moved):
                self._moved(run, step)
                run, over = self._journal.run(run_id), True
                log.warning("a run was ended beside its step, which takes long run=%s", run_id)
            if run.state in _RETURNS_BESIDE:
                self._give_back(run)
        except StaleRun:
            log.info("somebody else moved the run run=%s", run_id)
        except GpuleaseError as error:
            log.warning("a long step cannot be overtaken yet: %s run=%s", error.problem, run_id)
        return over

    def _give_back(self, run: Run) -> tuple[Run, float | None]:
        """One step of each machine on its way back; what is written down first is done at once."""
        soonest_s: float | None = None
        for key in [lease.key for lease in run.returning]:
            try:
                run, seconds = self._give_back_one(run, key)
                if not seconds:
                    run, seconds = self._give_back_one(run, key)
            except HomeError as error:  # the run's other machine is still watched
                log.warning("a return cannot be recorded: %s lease=%s", error.problem, key)
                seconds = _FULL_S
            soonest_s = seconds if soonest_s is None else min(soonest_s, seconds)
        return run, soonest_s

    def _give_back_one(self, run: Run, key: str) -> tuple[Run, float]:
        lease = next((one for one in run.returning if one.key == key), None)
        if lease is None:
            return run, 0.0
        try:
            after, seconds, waiting = give_back(run, self._world, lease)
        except GpuleaseError as error:
            self._heed(lease, error)
            left = leave_behind(run, self._world, lease, error)
            after = left or run.note(_sentence(error))
            seconds, waiting = self._again_s(key, error), error.problem
        except Exception as error:  # whatever it was: the run's other machine is still watched
            log.exception("a return failed run=%s lease=%s", run.id, key)
            waiting = f"our own fault in a return: {type(error).__name__}: {error}"
            after, seconds = run.note(waiting), self._again_s(key)
        else:
            self._trouble.pop(key, None)
            after = reached(after, self._world, _lease(after, key))
        closed = _lease(after, key).state is LeaseState.CLOSED
        events = [f"{lease.machine_id} is proven gone"] if closed else []
        if run.state is State.RETURNING and not closed:
            after = replace(after, waiting=waiting)
        return self.save(run, after, events), seconds

    def _step(self, run: Run) -> float:
        if run.state is State.ENDED:
            return _QUIET_S
        if run.state is State.RETURNING and any(lease.is_open for lease in run.leases):
            return _QUIET_S
        try:
            step = STEPS[run.state](run, self._world)
        except GpuleaseError as error:
            self._heed(run.lease, error)
            wait = Wait(self._again_s(run.id, error), error.problem, run.note(_sentence(error)))
            step = wait_for_answer(run, self._world, error) or wait
        except Exception as error:
            log.exception("a step failed run=%s state=%s", run.id, run.state)
            fault = f"our own fault in {run.state}: {type(error).__name__}: {error}"
            step = Wait(self._again_s(run.id), fault, run.note(fault))
        else:
            self._trouble.pop(run.id, None)
            step = answered(run, self._world, step)
        if isinstance(step, Moved):
            return self._moved(run, step)
        after = replace(step.run or run, waiting=step.reason)
        if after != run:
            self.save(run, after, [])
        return step.seconds

    def _heed(self, lease: Lease | None, error: GpuleaseError) -> None:
        """After a refused key the next try is made with another, if somebody gave one."""
        if lease is not None and isinstance(error, BadCredentials):
            self._world.accounts.forget(lease.provider)

    def _moved(self, run: Run, step: Moved) -> float:
        rents = step.instead is not None or step.claim
        check = self._limit_check(step.run, counted=bool(step.claim)) if rents else None
        try:
            saved = self.save(run, step.run, list(step.events), check)
        except BudgetRefused as error:
            self.save(run, replace(step.instead or run, waiting=error.problem), [])
            return 0.0 if step.instead is not None else _LIMITED_S
        for lease in saved.leases:
            if step.claim and lease.key == step.claim:
                self._world.remember_intent(lease)
        return step.after_s

    def _limit_check(self, after: Run, *, counted: bool) -> Callable[[Standing], None]:
        """Refuses the machine that `after` is about to rent where it would pass a limit.

        The next offer may be a dearer one than the plan was checked for, and come beside a
        machine that is still on its way back. `counted`: it is among the open ones already.
        """

        def check(standing: Standing) -> None:
            lease = after.lease
            if lease is not None and lease.state is LeaseState.INTENDED and lease.bills:
                rate = lease.offer.price.usd_per_hour
                if counted:
                    standing = standing.without(rate)
                # The run's cap is committed since it was submitted.
                check_limits(self._limits, standing, worst_usd=Decimal(0), usd_per_hour=rate)

        return check

    def save(
        self,
        before: Run,
        after: Run,
        events: list[str],
        check: Callable[[Standing], None] | None = None,
    ) -> Run:
        """Write a change with its ledger entries and messages.

        Raises: StaleRun; and what `check` raises, which sees where the home stands before it.
        """
        for lease in after.returning:
            if lease.delete_asked_s is None and lease.key in self._accepted_s:
                at_s = self._accepted_s[lease.key]
                told = replace(lease, delete_asked_s=at_s, delete_accepted_s=at_s)
                after = after.with_lease(told)
        if after == before and not events:
            return before
        now_s = self._world.clock.now_s()
        for event in events:
            log.info("%s run=%s state=%s", event, after.id, after.state)
        entries = self._entries(before, after, now_s)
        found = messages_between(before, after, now_s) if self._tells else []
        messages = [to_waiting(message) for message in found]
        month_s = month_of(now_s).start_s
        try:
            return self._journal.save(
                before, after, entries, events, now_s, messages, check, month_s
            )
        except HomeError:
            self._end_unwritten(before, after)
            raise

    def _end_unwritten(self, before: Run, after: Run) -> None:
        """Send the delete of machines that must go, though it cannot be written down.

        A full disk must not keep them billing, and a delete is safe to repeat; the proof and the
        books follow when there is room. Only of a run that is as this process knows it.
        """
        known = {lease.key: lease for lease in before.leases}
        for lease in after.returning:
            old, now_s = known.get(lease.key, lease), self._world.clock.awake_s()
            must_go = (
                old.state is LeaseState.RETURNING
                or before.wish is Wish.CANCEL_NOW
                or must_end(before, old, self._world)
            )
            is_due = now_s - self._unwritten_s.get(lease.key, -_UNWRITTEN_S) >= _UNWRITTEN_S
            if lease.machine_id is None or not must_go or not is_due:
                continue
            self._unwritten_s[lease.key] = now_s
            try:
                if self._journal.run(before.id).version != before.version:
                    return
                provider, _ = self._world.accounts.renter(lease.account, lease.provider)
                provider.delete_machine(lease.machine_id)
            except GpuleaseError as error:
                self._heed(lease, error)
                log.warning("it cannot be ended: %s lease=%s", error.problem, lease.key)
            except Exception:  # on a full disk anything may fail; the others still go
                log.exception("it cannot be ended lease=%s", lease.key)
            else:
                self._accepted_s.setdefault(lease.key, self._world.clock.now_s())
                log.warning("asked to end it, which cannot be recorded lease=%s", lease.key)

    def hand_over(self, before: Run, after: Run, taker: Run, entries: list[Entry]) -> None:
        """Write a run's end and, with its machine, the next run's beginning. Raises: StaleRun."""
        now_s = self._world.clock.now_s()
        both = [*self._entries(before, after, now_s), *entries]
        found = messages_between(before, after, now_s) if self._tells else []
        messages = [to_waiting(message) for message in found]
        self._journal.hand_over(before, after, taker, both, now_s, messages)

    def _entries(self, before: Run, after: Run, now_s: float) -> list[Entry]:
        """What the move means for the ledger."""
        entries: list[Entry] = []
        known = {lease.key: lease.state for lease in before.leases}
        old = self._journal.entries(run_id=after.id) if _money_moves(before, after) else []
        left_usd = committed_usd(old)
        for lease in after.leases:
            newly = lease.state is not known.get(lease.key)
            if not newly or lease.state not in _COUNTED or not lease.bills:
                continue
            counted_usd = accrued_usd(entry for entry in old if entry.label == lease.key)
            usd = max(Decimal(0), lease.upper_usd(now_s) - counted_usd)
            if not usd and lease.state is LeaseState.TOMBSTONE:
                continue
            entries.append(Entry(now_s, after.id, EntryKind.ACCRUED, usd, lease.key))
            free_usd = min(usd, left_usd)
            left_usd -= free_usd
            if free_usd:
                entries.append(Entry(now_s, after.id, EntryKind.RELEASED, free_usd, lease.key))
        if after.state is State.ENDED and before.state is not State.ENDED and left_usd > 0:
            entries.append(Entry(now_s, after.id, EntryKind.RELEASED, left_usd, note="run ended"))
        return entries

    def _again_s(self, key: str, error: GpuleaseError | None = None) -> float:
        """Longer with each trouble, and as long as a provider asks for, within reason."""
        tries = self._trouble.get(key, 0)
        self._trouble[key] = tries + 1
        asked_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
        return max(_TROUBLE_S[min(tries, len(_TROUBLE_S) - 1)], min(asked_s, _LONGEST_REST_S))


def _money_moves(before: Run, after: Run) -> bool:
    closed = [lease.key for lease in after.leases if lease.state in _COUNTED]
    known = [lease.key for lease in before.leases if lease.state in _COUNTED]
    return closed != known or (after.state is State.ENDED) != (before.state is State.ENDED)


def _lease(run: Run, key: str) -> Lease:
    return next(lease for lease in run.leases if lease.key == key)


def _sentence(error: GpuleaseError) -> str:
    return f"{error.problem} ({error.hint})" if error.hint else error.problem
