from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.agent.protocol import EXIT_FILE, STOP_FILE
from orchestrator.clock import to_iso
from orchestrator.errors import HostKeyMismatch, ProviderDown, Unreachable
from orchestrator.lifecycle.accounts import Purse
from orchestrator.lifecycle.deadlines import AGENT_SILENT_S, LATE_S
from orchestrator.lifecycle.steps.verdict import verdict
from orchestrator.providers.base import MachineStatus, SshAddress
from orchestrator.remote.shell import Reply
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import CAPABILITIES, Stage, listed
from tests.runs.samples import NOW_S, RUN_ID, candidate, offer

ALIVE = Reply(0, b'{"agent_alive": true}', b"")
SILENT = Reply(0, b'{"agent_alive": false}', b"")


def running(
    stage: Stage, state: State = State.RUNNING, *, capped: bool = False, **changes: object
) -> None:
    """A machine whose agent lives."""
    stage.box.replies = {"guard-status": ALIVE}
    stage.begin_held(state, {"did_work": True, "capped": capped}, **changes)


def stop_asked(stage: Stage) -> str:
    asked = json.loads(stage.box.files.get(STOP_FILE, b"{}"))
    return str(asked.get("reason", ""))


def test_the_programs_start_makes_the_run_running(stage: Stage) -> None:
    running(stage, State.SETTING_UP)
    stage.box.say(event="phase", phase="setup", state="started")
    stage.drive()
    assert stage.state() is State.SETTING_UP

    stage.box.say(event="phase", phase="program", state="started")
    stage.drive()

    assert stage.state() is State.RUNNING


def test_progress_and_log_come_home(stage: Stage) -> None:
    running(stage)
    stage.box.files["log.txt"] = b"epoch 1\n"
    stage.box.say(event="progress", step=4, steps=10, loss=0.5)

    stage.drive()

    assert stage.run.progress == {"step": 4.0, "steps": 10.0, "loss": 0.5}
    assert (stage.home / "log.txt").read_bytes() == b"epoch 1\n"


def test_events_are_read_once(stage: Stage) -> None:
    running(stage)
    stage.box.say(event="message", text="hello")
    stage.drive(2)
    stage.restart()
    stage.drive()

    assert stage.events().count("hello") == 1


def test_the_programs_end_leads_to_collecting(stage: Stage) -> None:
    running(stage)
    stage.box.say(event="exited", why="finished", exit_code=0, ended_at=NOW_S)

    stage.drive()

    assert stage.state() is State.COLLECTING
    assert stage.run.exit["exit_code"] == 0


def test_lost_contact_ends_nothing_while_the_machine_lives(stage: Stage) -> None:
    running(stage)
    stage.box.fault = Unreachable("no route")

    for _ in range(20):
        stage.after(60)
    assert stage.state() is State.RUNNING
    assert stage.run.waiting == "no contact: no route; the job goes on"
    stage.box.fault = None
    stage.box.say(event="progress", step=9)
    stage.after(60)

    assert (stage.run.progress["step"], stage.run.outcome) == (9.0, None)


def test_a_machine_that_is_gone_for_good_is_host_lost_and_says_what_is_missing(
    stage: Stage,
) -> None:
    running(stage, next_candidate=9)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")
    stage.after(CAPABILITIES.list_lag_s - 1)
    assert stage.state() is State.RUNNING

    stage.after(2)

    assert (stage.run.state, stage.run.outcome) == (State.RETURNING, Outcome.FAILED)
    assert stage.run.failure is not None
    assert (stage.run.failure.code, stage.run.failure.exit_code) == ("host_lost", 6)
    assert "and no other goes on: " in stage.run.failure.problem
    assert stage.run.artifacts_missing == ("everything after the last pull: the machine is gone",)


def test_a_list_of_another_account_loses_no_machine(stage: Stage) -> None:
    running(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.machines.clear()
    stage.cloud.account = "user:u2"

    stage.after(60)

    assert stage.state() is State.RUNNING


def test_a_machine_gone_at_its_deadline_used_up_its_time(stage: Stage) -> None:
    running(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")

    stage.after(7200)

    assert stage.run.outcome is Outcome.EXPIRED


def test_a_machine_that_outlives_its_deadline_is_returned(stage: Stage) -> None:
    running(stage, cap_usd=Decimal(100))
    stage.box.fault = Unreachable("no route")
    stage.after(7200)
    assert stage.state() is State.RUNNING

    stage.after(1)

    assert (stage.run.state, stage.run.outcome) == (State.RETURNING, Outcome.EXPIRED)
    assert stage.first.why_ended == "its deadline has passed"
    assert stage.run.artifacts_missing


def unguarded(stage: Stage, **changes: object) -> None:
    """A machine that has no guard of its own, under a cap that is far away."""
    stage.box.replies = {"guard-status": ALIVE}
    held = {"did_work": True, "guard": "absent", **changes}
    stage.begin_held(State.RUNNING, held, cap_usd=Decimal(100))


def test_a_machine_that_nothing_ends_is_collected_after_its_deadline_too(stage: Stage) -> None:
    unguarded(stage)
    stage.box.say(event="exit", at=NOW_S + 60, code=0, why="ended")

    stage.after(8 * 3600)

    assert stage.state() is not State.RETURNING
    assert stage.first.why_ended == ""


def test_whoever_is_there_when_its_deadline_passes_gives_it_back_in_time(stage: Stage) -> None:
    deadline_s = NOW_S + 300.0
    unguarded(stage, deadline_s=deadline_s)
    stage.box.say(event="exit", at=NOW_S + 60, code=0, why="ended")  # and lists nothing

    stage.until(lambda run: run.state is State.RETURNING, limit_s=2000.0)

    assert deadline_s < stage.clock.now_s() < deadline_s + 60.0
    assert stage.first.why_ended == "its deadline has passed"


def test_whoever_was_there_and_reached_nothing_may_collect_later(stage: Stage) -> None:
    unguarded(stage, deadline_s=NOW_S + 300.0)
    stage.box.say(event="exited", why="finished", exit_code=0, ended_at=NOW_S + 60)
    stage.box.fault = Unreachable("no route")
    for _ in range(40):
        stage.after(10)
    assert stage.state() is not State.RETURNING

    stage.box.fault = None
    stage.after(10)

    assert stage.state() is State.COLLECTING


def test_it_is_not_waited_for_without_end(stage: Stage) -> None:
    unguarded(stage)
    stage.box.fault = Unreachable("no route")
    stage.after(8 * 3600)
    assert stage.state() is State.RUNNING

    stage.after(LATE_S + stage.run.launch.collect_s)

    assert stage.first.why_ended == "its deadline has passed"


def test_past_the_cap_its_results_are_given_up(stage: Stage) -> None:
    running(stage, cap_usd=Decimal(2))

    stage.after(8 * 3600)

    assert stage.first.why_ended == "the cap leaves money only for the return"


def test_a_machine_that_ended_itself_during_a_long_sleep_did_not_reach_the_cap(
    stage: Stage,
) -> None:
    running(stage, cap_usd=Decimal(2))
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")

    stage.clock.advance(8 * 3600, asleep=True)
    stage.drive()

    assert stage.run.outcome is Outcome.EXPIRED


def test_a_cancelled_run_whose_machine_is_gone_is_cancelled(stage: Stage) -> None:
    running(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")

    stage.after(CAPABILITIES.list_lag_s + 1)

    assert stage.run.outcome is Outcome.CANCELLED


def test_cancel_asks_the_program_to_stop_once(stage: Stage) -> None:
    running(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    for _ in range(5):
        stage.after(5)

    assert stop_asked(stage) == "cancelled"
    assert stage.box.written == [STOP_FILE]
    assert stage.state() is State.RUNNING


def test_an_agent_that_never_stops_is_ended_and_what_is_there_is_collected(stage: Stage) -> None:
    running(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)
    for _ in range(40):
        stage.after(15)
    assert stage.state() is State.RUNNING

    for _ in range(10):
        stage.after(15)

    assert stage.state() is State.COLLECTING
    assert "python3 agent.pyz kill" in stage.box.commands
    assert "did not stop" in str(stage.run.exit["message"])


def test_a_program_that_was_never_asked_is_not_given_up(stage: Stage) -> None:
    running(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)
    stage.drive()
    stage.box.fault = Unreachable("no route")
    stage.clock.advance(1200)
    stage.drive()

    stage.box.fault = None
    stage.after(3)

    assert stage.state() is State.RUNNING
    assert stop_asked(stage) == "cancelled"


def test_a_driver_that_dies_as_it_asks_leaves_the_reason_behind(stage: Stage) -> None:
    running(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    stage.drive()
    assert (stop_asked(stage), stage.run.stop_reason) == ("", "cancelled")
    stage.restart()
    stage.drive()

    assert (stop_asked(stage), stage.run.stop_reason) == ("cancelled", "cancelled")


@pytest.mark.parametrize("state", [State.SETTING_UP, State.RUNNING])
def test_cancel_now_returns_the_machine_at_once(stage: Stage, state: State) -> None:
    running(stage, state=state)
    stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)

    stage.drive()

    assert (stage.run.state, stage.run.outcome) == (State.RETURNING, Outcome.CANCELLED)
    assert stage.first.state is LeaseState.RETURNING
    assert stage.run.artifacts_missing


def test_the_cap_asks_the_program_to_stop_in_time_to_collect(stage: Stage) -> None:
    running(stage, cap_usd=Decimal("0.50"))

    stage.after(2600)
    assert stop_asked(stage) == ""
    stage.after(100)
    stage.drive()

    assert (stop_asked(stage), stage.run.stop_reason) == ("cap", "cap")
    assert stage.state() is State.RUNNING


def test_the_cap_returns_the_machine_before_it_is_passed(stage: Stage) -> None:
    running(stage, cap_usd=Decimal("0.50"))
    stage.box.fault = Unreachable("no route")

    stage.after(2820)

    assert (stage.run.state, stage.run.outcome) == (State.RETURNING, Outcome.CAPPED)
    over = stage.until(lambda run: run.state is State.ENDED)
    assert over.upper_usd(stage.clock.now_s()) <= over.cap_usd


@pytest.mark.parametrize(("capped", "reason"), [(False, "duration"), (True, "cap")])
def test_the_end_of_the_work_is_asked_for_in_its_own_name(
    stage: Stage, capped: bool, reason: str
) -> None:
    running(stage, capped=capped)

    stage.after(3600)
    stage.drive()

    assert stop_asked(stage) == reason


def test_a_silent_agent_that_lives_is_left_alone(stage: Stage) -> None:
    running(stage)

    stage.after(AGENT_SILENT_S + 1)

    assert (stage.run.state, stage.run.heard_s) == (State.RUNNING, stage.clock.now_s())


@pytest.mark.parametrize(
    ("left", "message"),
    [(b"", "the agent ended without a word"), (b'{"exit_code": 3, "message": "x"}', "x")],
)
def test_an_agent_that_died_ends_the_work(stage: Stage, left: bytes, message: str) -> None:
    running(stage)
    stage.box.replies = {"guard-status": SILENT}
    stage.box.files[EXIT_FILE] = left

    stage.after(AGENT_SILENT_S + 1)

    assert stage.state() is State.COLLECTING
    assert stage.run.exit["message"] == message


def test_an_event_log_that_the_program_cut_off_does_not_hide_the_end(stage: Stage) -> None:
    running(stage, event_offset=2000)
    stage.box.say(event="exited", why="finished", exit_code=0)

    stage.after(AGENT_SILENT_S + 1)
    stage.after(1)

    assert stage.state() is State.COLLECTING
    assert stage.run.exit["exit_code"] == 0


def test_an_end_of_which_no_event_is_left_is_read_from_its_own_record(stage: Stage) -> None:
    running(stage, event_offset=2000)
    stage.box.files["events.jsonl"] = b"x" * 3000
    stage.box.files[EXIT_FILE] = b'{"why": "finished", "exit_code": 3}'
    stage.drive()

    stage.after(AGENT_SILENT_S + 1)

    assert stage.state() is State.COLLECTING
    assert stage.run.exit["exit_code"] == 3


def test_a_log_that_cannot_be_written_at_home_hides_nothing(stage: Stage) -> None:
    running(stage)
    (stage.home / "log.txt").mkdir()
    stage.box.files["log.txt"] = b"line" * 10_000
    at_home = save(stage, 40)

    stage.drive()
    assert at_home.exists()
    assert "log.txt" in stage.run.notes[-1]
    stage.journal.wish(RUN_ID, Wish.CANCEL)
    stage.drive(3)
    assert stop_asked(stage) == "cancelled"
    stage.box.say(event="exited", why="stopped", exit_code=143)
    stage.after(1)

    assert stage.state() is State.COLLECTING


@pytest.mark.parametrize(("minutes", "told"), [(12, 1), (0.5, 0)])
def test_contact_that_was_lost_for_some_time_is_recorded_once(
    stage: Stage, minutes: float, told: int
) -> None:
    running(stage)
    for _ in range(2):
        stage.box.fault = Unreachable("no route")
        stage.drive()
        stage.after(minutes * 30)
        stage.after(minutes * 30)
        stage.box.fault = None
        again_s = stage.clock.now_s()
        for _ in range(3):
            stage.after(1)

    silent = f"no contact with the machine for {minutes} min until"
    assert stage.events().count(silent) == 2 * told
    # Of what `show` and the receipt tell, the last one, and only that.
    noted = [f"{silent} {to_iso(again_s + 1)}: the job went on"] * told
    assert [note for note in stage.run.notes if "no contact" in note] == noted


def test_a_set_up_that_lasts_an_hour_has_failed(stage: Stage) -> None:
    running(stage, State.SETTING_UP, max_duration_s=36_000.0)

    stage.after(3601)

    assert stage.run.outcome is Outcome.FAILED
    assert stage.run.failure is not None
    assert stage.run.failure.code == "setup"


def test_somebody_else_at_the_address_ends_nothing(stage: Stage) -> None:
    running(stage)
    stage.box.fault = HostKeyMismatch("another host key")

    stage.drive()

    assert stage.state() is State.RUNNING
    assert stage.run.notes == ("another host key",)


def test_a_machine_with_another_host_key_for_a_minute_is_lost_and_goes_back(stage: Stage) -> None:
    running(stage, candidates=())
    stage.box.fault = HostKeyMismatch("another host key")
    stage.drive()

    stage.after(61)

    assert stage.first.state is LeaseState.RETURNING
    assert stage.run.failure is not None
    assert stage.run.failure.code == "host_lost"
    assert stage.run.artifacts_missing


def test_a_machine_that_moved_is_looked_for_at_its_new_address(stage: Stage) -> None:
    running(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.machines["m1"] = replace(
        stage.cloud.machines["m1"], address=SshAddress("192.0.2.9", 2299, "root")
    )
    stage.drive()
    stage.box.fault = None
    stage.box.say(event="progress", step=4, steps=10)

    stage.after(2)

    assert (stage.first.ssh_host, stage.first.ssh_port) == ("192.0.2.9", 2299)
    assert stage.run.progress["step"] == 4.0


@pytest.mark.parametrize("status", [MachineStatus.STOPPED, MachineStatus.FAILED])
def test_a_machine_that_its_provider_gave_up_is_not_waited_for(
    stage: Stage, status: MachineStatus
) -> None:
    running(stage, candidates=())
    stage.box.fault = Unreachable("no route")
    stage.cloud.machines["m1"] = replace(stage.cloud.machines["m1"], status=status)
    stage.cloud.console = "container exited: out of memory\n"

    stage.drive()

    assert stage.first.state is LeaseState.RETURNING
    assert (stage.home / "boot-m1.log").read_text() == stage.cloud.console


def test_an_agent_that_is_gone_since_its_container_started_anew_is_no_failure_of_the_job(
    stage: Stage,
) -> None:
    running(stage, candidates=())
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": false, "boots": 3}', b"")}

    stage.after(AGENT_SILENT_S + 1)

    assert stage.run.failure is not None
    assert stage.run.failure.code == "host_lost"
    assert "started 3 times" in stage.run.failure.problem


@pytest.mark.parametrize(
    ("uptime", "is_lost"), [(b"30.51 12.00\n", True), (b"90000.0 1.0\n", False), (b"", False)]
)
def test_an_agent_that_is_gone_since_its_computer_was_restarted_is_no_failure_of_the_job(
    stage: Stage, uptime: bytes, is_lost: bool
) -> None:
    other = candidate(offer("b"))
    stage.begin_held(State.RUNNING, {"did_work": True, "ran_s": NOW_S - 30.0}, candidates=(other,))
    stage.box.replies = {"guard-status": SILENT, "uptime": Reply(0, uptime, b"")}

    stage.after(AGENT_SILENT_S + 1)

    assert (stage.run.state is State.PLANNED) is is_lost
    assert (stage.first.state is LeaseState.RETURNING) is is_lost
    assert (stage.run.state is State.COLLECTING) is not is_lost


@pytest.mark.parametrize("why", ["no other offer", "asleep", "cancelled"])
def test_what_a_restarted_computer_has_comes_home_where_no_other_goes_on(
    stage: Stage, why: str
) -> None:
    others = () if why == "no other offer" else (candidate(offer("b")),)
    stage.begin_held(State.RUNNING, {"did_work": True, "ran_s": NOW_S - 30.0}, candidates=others)
    stage.box.replies = {"guard-status": SILENT, "uptime": Reply(0, b"30.51 12.00\n", b"")}
    if why == "cancelled":
        stage.journal.wish(stage.run.id, Wish.CANCEL)

    stage.after(1000 if why == "asleep" else AGENT_SILENT_S + 1)

    assert stage.run.state is State.COLLECTING
    assert stage.first.state is LeaseState.HELD
    failure = verdict(replace(stage.run, stop_reason=""))[1]
    assert failure is not None and (failure.code, failure.exit_code) == ("host_lost", 6)


def test_an_account_that_runs_dry_ends_the_work_while_it_can_be_brought_home(stage: Stage) -> None:
    running(stage, checkpoint_home="checkpoints/step-40")
    low = Purse("user:u1", Decimal("0.05"), Decimal("0.60"), stage.clock.elapsed_s())
    stage.world.purse = lambda lease: low

    stage.drive(2)
    assert stop_asked(stage) == "balance"
    assert "the runpod account holds $0.05" in stage.events()
    stage.box.say(event="exited", why="stopped", signal=15, ended_at=NOW_S)
    stage.drive()

    outcome, failure = verdict(stage.run)
    assert outcome is Outcome.CAPPED
    assert failure is not None
    assert (failure.code, failure.exit_code) == ("balance", 5)
    assert failure.hint == "the last checkpoint is home; add credit, and submit again"


def save(stage: Stage, step: int) -> Path:
    """A complete checkpoint on the machine, and where it will lie at home."""
    path, weights = f"checkpoints/step-{step}", b"weights"
    document = {"step": step, "files": [listed("weights", weights)]}
    stage.box.files[f"{path}/weights"] = weights
    stage.box.files[f"{path}/complete.json"] = json.dumps(document).encode()
    stage.box.say(event="checkpoint", step=step, path=path)
    return stage.home / path / "weights"


def test_a_checkpoint_comes_home_while_the_job_runs(stage: Stage) -> None:
    running(stage)
    at_home = save(stage, 40)

    stage.drive()

    assert stage.run.checkpoint_home == "checkpoints/step-40"
    assert at_home.read_bytes() == b"weights"


def test_of_many_checkpoints_one_comes_home_every_so_often(stage: Stage) -> None:
    running(stage)
    every_s = stage.run.launch.checkpoint_every_s
    seen = set()
    for step in range(20):  # a program that saves ten times as often as it was asked to
        save(stage, step)
        stage.after(every_s / 10)
        seen.add(newest := stage.run.checkpoint_home)
        assert step - int(newest.rpartition("-")[2]) <= 10, "older than the interval"
    assert 3 <= len(seen) <= 5

    # One that comes about when it was asked for is not left for the next time.
    save(stage, 30)
    stage.after(every_s)
    stage.after(every_s * 0.9)
    at_home = save(stage, 40)
    stage.after(0)

    assert stage.state() is State.RUNNING
    assert at_home.exists()


def test_a_checkpoint_that_home_could_not_take_for_a_moment_comes_home_later(stage: Stage) -> None:
    running(stage)
    at_home = save(stage, 40)
    in_the_way = stage.home / "checkpoints"
    in_the_way.write_text("")
    stage.after(600)
    assert (stage.state(), stage.run.checkpoint_home) == (State.RUNNING, "")
    assert "checkpoints" in stage.run.notes[-1] or "arriving" in stage.run.notes[-1]

    in_the_way.unlink()
    stage.after(1)

    assert stage.run.checkpoint_home == "checkpoints/step-40"
    assert at_home.read_bytes() == b"weights"


def test_a_checkpoint_that_is_no_longer_there_is_not_called_home(stage: Stage) -> None:
    running(stage)
    save(stage, 40)
    del stage.box.files["checkpoints/step-40/weights"]
    stage.drive()
    assert stage.run.checkpoint_home == ""

    save(stage, 50)
    stage.after(1)

    assert stage.run.checkpoint_home == "checkpoints/step-50"


def test_one_miss_loses_no_machine_where_it_is_noise(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, one_miss_is_noise=True)
    running(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")

    stage.after(CAPABILITIES.list_lag_s)
    assert (stage.state(), stage.first.state) == (State.RUNNING, LeaseState.HELD)
    del stage.cloud.gone_s["m1"]
    stage.after(30)
    stage.box.fault = None
    stage.drive()

    assert (stage.state(), stage.first.state) == (State.RUNNING, LeaseState.HELD)


def test_two_misses_lose_a_machine(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, one_miss_is_noise=True)
    running(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")

    stage.after(CAPABILITIES.list_lag_s)
    stage.after(5)

    assert stage.first.state is LeaseState.RETURNING


def test_a_machine_that_must_go_goes_although_nobody_can_list_it(stage: Stage) -> None:
    running(stage)
    stage.cloud.errors["list"] = [ProviderDown("500")] * 200
    stage.clock.advance(7200)

    stage.after(1)
    assert stage.state() is State.RUNNING
    stage.after(60)
    stage.drive()

    assert stage.state() is State.RETURNING
    assert stage.cloud.said("delete") == ["m1"]


def test_a_host_out_of_touch_may_come_back_for_some_minutes(stage: Stage) -> None:
    running(stage, candidates=())
    stage.box.fault = Unreachable("no route")
    machine = stage.cloud.machines["m1"]
    stage.cloud.machines["m1"] = replace(machine, status=MachineStatus.OUT_OF_TOUCH)

    stage.drive()
    stage.after(200)
    assert stage.first.state.value == "held"
    stage.cloud.machines["m1"] = machine
    stage.after(10)
    stage.cloud.machines["m1"] = replace(machine, status=MachineStatus.OUT_OF_TOUCH)
    stage.after(10)
    stage.after(200)
    assert stage.first.state.value == "held"  # counted anew
    stage.after(150)

    assert stage.first.state is LeaseState.RETURNING


def test_what_the_machine_says_of_its_traffic_counts(stage: Stage) -> None:
    running(stage)
    stage.box.say(event="host", received_bytes=5 << 30, sent_bytes=1 << 30)

    stage.after(10)

    traffic = stage.first.traffic
    assert (traffic.received_bytes, traffic.sent_bytes) == (5 << 30, 1 << 30)


def test_traffic_counts_too_where_the_account_tells_what_it_holds(stage: Stage) -> None:
    running(stage)
    full = Purse("user:u1", Decimal("50"), Decimal("0.60"), stage.clock.elapsed_s())
    stage.world.purse = lambda lease: full
    stage.box.say(event="host", received_bytes=5 << 30, sent_bytes=1 << 30)

    stage.after(10)

    traffic = stage.first.traffic
    assert (traffic.received_bytes, traffic.sent_bytes) == (5 << 30, 1 << 30)
    assert stage.first.balance_usd == Decimal("50")
