"""How a run ended, in words to act on: from what the agent said, and why it was stopped."""

from __future__ import annotations

from orchestrator.clock import to_iso
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Failure, Run
from orchestrator.runs.states import Outcome

RESTARTED = "restarted"  # why a job ended, as only the driver says
_CLOCK_S = 60.0  # by which two clocks may differ, and nobody minds


def verdict(run: Run) -> tuple[Outcome, Failure | None]:
    """What the program's end means for the run."""
    why, code = run.exit.get("why"), run.exit.get("exit_code")
    message = str(run.exit.get("message", ""))[:500]
    logs = f"gpulease logs {run.id}"
    if run.stop_reason == "cancelled":
        return Outcome.CANCELLED, None
    if run.stop_reason or why == "deadline":
        return out_of_time(run, run.lease)
    if why == "finished" and code == 0:
        return Outcome.SUCCEEDED, None
    if run.exit.get("out_of_memory"):
        hint = "lower per_device_train_batch_size or max_length, or ask for more gpu.memory_gib"
        return Outcome.FAILED, Failure("out_of_memory", f"out of memory; {message}", hint)
    if run.exit.get("disk_full"):
        rented = run.lease is not None and run.lease.bills
        size = f" of {run.launch.disk_gib} GiB" if rented else ""  # one's own is as it is
        problem = f"the machine's disk{size} is full; {message}"
        hint = f"write less, for example fewer checkpoints; {logs} tells what was written"
        return Outcome.FAILED, Failure("disk_full", problem, hint)
    if why == RESTARTED:
        problem = "the machine was restarted while the job ran, and no other goes on"
        problem += f": {message}" if message else ""
        return Outcome.FAILED, Failure("host_lost", problem, "submit again", 6)
    if why == "setup":
        phase = run.exit.get("phase", "set-up")
        return Outcome.FAILED, Failure("setup", f"{phase} failed: {message}", logs)
    if why == "no_gpu":
        hint = "gpu: {allow_cpu: true} trains on the CPU"
        return Outcome.FAILED, Failure("no_gpu", message or "there is no GPU", hint)
    ways = {"exit code": code, "signal": run.exit.get("signal")}
    ended = "".join(f" with {way} {n}" for way, n in ways.items() if n is not None)
    problem = f"the program ended{ended}" + (f": {message}" if message else "")
    return Outcome.FAILED, Failure("job_failed", problem, logs)


def out_of_time(run: Run, lease: Lease | None) -> tuple[Outcome, Failure | None]:
    """How a run ends whose money or time was over before its work."""
    if run.stop_reason == "balance":
        return Outcome.CAPPED, _ran_dry(run, lease)
    if early_s := _ended_early_s(run, lease):
        problem = (
            f"the machine ended the job {early_s / 60:.0f} min before its time: its clock is ahead "
            "of this computer's"
        )
        hint = "is this computer's clock right? else submit again, for another machine"
        return Outcome.EXPIRED, Failure("machine_clock", problem, _saved(run) + hint, 5)
    if run.stop_reason == "cap" or (lease is not None and lease.capped):
        return Outcome.CAPPED, capped(run)
    if lease is not None and _ends_before_its_time(run, lease):
        problem = (
            f"the kept machine's own time was over: it ends itself by {to_iso(lease.deadline_s)}"
        )
        hint = "submit without --reuse for a machine with more time"
        return Outcome.EXPIRED, Failure("kept_machine_ends", problem, hint, 5)
    minutes = run.max_duration_s / 60
    longest = f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.3g} h"
    problem = f"the job used its max_duration of {longest}"
    return Outcome.EXPIRED, Failure("max_duration", problem, "raise budget.max_duration", 5)


def capped(run: Run) -> Failure:
    """The failure of a run that reached its cap."""
    problem = f"the cap of ${run.cap_usd:.2f} was reached"
    return Failure("capped", problem, _saved(run) + "raise budget.max_cost", 5)


def _ended_early_s(run: Run, lease: Lease | None) -> float:
    """How long before its time the job was ended by its machine's clock; 0 when it was not."""
    by_clock = run.exit.get("why") == "deadline" and not run.stop_reason
    if lease is None or run.exit_seen_s is None or not by_clock:
        return 0.0
    early_s = lease.stop_s - run.exit_seen_s
    return early_s if early_s >= _CLOCK_S else 0.0


def _ends_before_its_time(run: Run, lease: Lease) -> bool:
    """Whether a kept machine's end, which no provider moves, left less than max_duration."""
    sent_s = lease.sent_s or run.created_s
    return bool(lease.taken_from) and lease.stop_s < sent_s + run.max_duration_s


def _ran_dry(run: Run, lease: Lease | None) -> Failure:
    where = f"the {lease.provider} account" if lease else "the account"
    problem = f"{where} is nearly empty: the job was stopped before the provider would end it"
    return Failure("balance", problem, _saved(run) + "add credit, and submit again", 5)


def _saved(run: Run) -> str:
    """The first half of a hint to a run that was stopped."""
    paths = [path for path, *_ in run.artifacts]
    saved = run.checkpoint_home or any(path.startswith("checkpoints/") for path in paths)
    return "the last checkpoint is home; " if saved else ""
