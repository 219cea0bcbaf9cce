from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.agent.protocol import CLEARED_FILE, DEADLINE_FILE, GUARD_FILE
from orchestrator.errors import AgentFault, RemoteError, SpecError, Unreachable
from orchestrator.providers.base import Capabilities, GuardWay
from orchestrator.remote.shell import Reply
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from tests.lifecycle.steps.harness import CAPABILITIES, Stage, armed
from tests.runs.samples import NOW_S, RUN_ID, launch, offer

ONE_GPU = Reply(0, b"NVIDIA GeForce RTX 4090, 24564 MiB, 570.86\n", b"")
NO_GPU = Reply(127, b"", b"nvidia-smi: not found\n")
ALLOW_CPU = replace(launch(), allow_cpu=True)
START = "python3 agent.pyz start"


def shipping(stage: Stage, lease: dict[str, object] | None = None, **changes: object) -> None:
    """A machine with a GPU and an armed guard, to which nothing was sent."""
    stage.box.files = armed()
    stage.box.replies = {"nvidia-smi": ONE_GPU}
    stage.begin_held(State.SHIPPING, dict(lease or {}), **changes)


def assert_unfit(stage: Stage, why: str) -> None:
    old, new = stage.run.leases
    assert why in old.why_ended
    assert (old.state, new.offer.id) == (LeaseState.RETURNING, "RTX 4090 x2")
    assert stage.crate.shipped == []


def test_a_fit_machine_gets_everything_and_the_agent_is_started(stage: Stage) -> None:
    shipping(stage)

    stage.drive()

    assert stage.state() is State.SETTING_UP
    assert (stage.run.device, stage.first.guard) == ("cuda", "plausible")
    assert stage.first.did_work
    assert stage.crate.shipped == ["label-0"]
    assert stage.box.commands[-1] == START


def test_the_next_machine_makes_anew_what_a_lost_one_took_with_it(stage: Stage) -> None:
    shipping(stage, artifacts_missing=("everything after the last pull",), unsettled=True)

    stage.drive()

    assert (stage.run.artifacts_missing, stage.run.unsettled) == ((), False)


def test_a_machine_without_its_gpu_is_unfit(stage: Stage) -> None:
    shipping(stage)
    stage.box.replies = {"nvidia-smi": NO_GPU}

    stage.drive()

    assert_unfit(stage, "no working GPU")


@pytest.mark.parametrize(
    ("gpu", "cuda", "device"),
    [(ONE_GPU, 0, "cuda"), (ONE_GPU, 1, "cpu"), (NO_GPU, 1, "cpu")],
    ids=["a working GPU", "a GPU without CUDA", "no GPU"],
)
def test_a_job_that_may_use_the_cpu_gets_what_works(
    stage: Stage, gpu: Reply, cuda: int, device: str
) -> None:
    shipping(stage, launch=ALLOW_CPU)
    stage.box.replies = {"nvidia-smi": gpu, "libcuda": Reply(cuda, b"", b"")}

    stage.drive()

    assert (stage.run.state, stage.run.device) == (State.SETTING_UP, device)


def guard(**changes: object) -> bytes:
    """The guard's record, but for `changes`."""
    return json.dumps({**json.loads(armed()[GUARD_FILE]), **changes}).encode()


@pytest.mark.parametrize(
    "record",
    [b"not json", b"[]", guard(label="another"), guard(credential=False, reachable=False)],
    ids=["no JSON", "no object", "of another machine", "without a key"],
)
def test_a_machine_without_its_guard_is_unfit(stage: Stage, record: bytes) -> None:
    shipping(stage)
    stage.box.files[GUARD_FILE] = record

    stage.drive()

    assert_unfit(stage, "its guard is not armed")


@pytest.mark.parametrize("record", [b"", guard(reachable=False)], ids=["absent", "probing"])
def test_a_guard_that_still_tries_the_provider_is_waited_for(stage: Stage, record: bytes) -> None:
    shipping(stage)
    stage.box.files[GUARD_FILE] = record

    stage.drive()
    stage.after(59)
    assert stage.run.waiting == "its guard has not reached the provider yet"
    assert stage.crate.shipped == []
    stage.box.files[GUARD_FILE] = guard()
    stage.drive()

    assert (stage.run.state, stage.first.guard) == (State.SETTING_UP, "plausible")


def test_a_guard_that_never_reaches_the_provider_makes_the_machine_unfit(stage: Stage) -> None:
    shipping(stage)
    stage.box.files[GUARD_FILE] = guard(reachable=False)

    stage.drive()
    stage.after(60)

    assert_unfit(stage, "its guard is not armed")


def test_a_job_that_accepts_it_runs_unguarded(stage: Stage) -> None:
    shipping(stage, launch=replace(launch(), accept_unguarded=True))
    stage.box.files.clear()

    stage.drive()

    assert (stage.run.state, stage.first.guard) == (State.SETTING_UP, "absent")


def test_without_a_gpu_in_its_offer_the_machines_gpus_are_somebody_elses(stage: Stage) -> None:
    cpu = replace(offer(), gpu="", gpu_count=0, gpu_memory_gib=0.0)
    stage.begin_held(State.SHIPPING, {"offer": cpu}, launch=ALLOW_CPU)
    stage.box.files = armed()
    stage.box.replies = {"nvidia-smi": ONE_GPU}

    stage.drive()

    assert (stage.run.state, stage.run.device) == (State.SETTING_UP, "cpu")


def test_a_machine_that_costs_nothing_needs_no_guard(stage: Stage) -> None:
    stage.cloud.capabilities = Capabilities(guard=GuardWay.AGENT, bills=False)
    shipping(stage)
    stage.box.files.clear()

    stage.drive()

    assert (stage.run.state, stage.first.guard) == (State.SETTING_UP, "not needed")


def test_what_was_shipped_before_a_crash_is_not_shipped_again(stage: Stage) -> None:
    shipping(stage)
    stage.box.say(event="phase", phase="setup", state="started")
    stage.restart()

    stage.drive()

    assert stage.state() is State.SETTING_UP
    assert (stage.crate.shipped, stage.box.commands) == ([], [])


def test_a_connection_that_breaks_is_opened_again(stage: Stage) -> None:
    shipping(stage)
    stage.crate.fault = Unreachable("reset")
    stage.drive()
    assert stage.run.waiting == "the connection broke: reset"

    stage.crate.fault = None
    stage.after(2)

    assert stage.state() is State.SETTING_UP
    assert stage.crate.shipped == ["label-0"]


def test_shipping_has_an_end(stage: Stage) -> None:
    shipping(stage, {"stop_s": NOW_S + 8 * 3600, "deadline_s": NOW_S + 9 * 3600})
    stage.box.fault = Unreachable("reset")
    stage.drive()

    stage.after(3600)
    assert stage.state() is State.SHIPPING
    stage.after(1)

    assert "shipping took too long" in stage.first.why_ended
    assert stage.first.state is LeaseState.RETURNING


def test_an_upload_takes_as_long_as_it_moves(stage: Stage) -> None:
    shipping(stage, {"stop_s": NOW_S + 8 * 3600, "deadline_s": NOW_S + 9 * 3600})
    stage.crate.pieces, stage.crate.slowly = 200, lambda: stage.clock.advance(60)
    stage.crate.fault = Unreachable("reset")
    stage.drive()
    assert stage.state() is State.SHIPPING

    stage.crate.fault = None
    stage.after(2)

    assert stage.state() is State.SETTING_UP


def test_an_upload_makes_room_for_a_newer_driver_and_for_the_return_of_another_machine(
    stage: Stage,
) -> None:
    shipping(stage, {"stop_s": NOW_S + 8 * 3600, "deadline_s": NOW_S + 9 * 3600})
    stage.crate.pieces, stage.crate.slowly = 200, lambda: stage.clock.advance(60)
    stage.engine.ends_soon(lambda: True)
    stage.drive()
    assert (stage.state(), stage.crate.shipped) == (State.SHIPPING, [])
    assert stage.clock.now_s() < NOW_S + 120

    stage.engine.ends_soon(lambda: False)
    stage.drive()

    assert stage.state() is State.SETTING_UP


def test_an_upload_ends_when_the_time_for_work_does(stage: Stage) -> None:
    shipping(stage)
    stage.crate.pieces, stage.crate.slowly = 10_000, lambda: stage.clock.advance(60)

    stage.drive(2)

    assert stage.run.outcome is Outcome.EXPIRED
    assert stage.run.failure is not None
    assert "its files were not all on the machine" in stage.run.failure.problem
    assert stage.run.artifacts_missing == ()
    assert stage.first.stop_s < stage.clock.now_s() < stage.first.stop_s + 120
    assert stage.crate.shipped == []


def test_an_agent_that_was_started_before_a_long_sleep_is_found(stage: Stage) -> None:
    shipping(stage)
    stage.box.say(event="phase", phase="setup", state="started")
    stage.restart()
    stage.clock.advance(7000, asleep=True)

    stage.drive()

    assert stage.state() is State.SETTING_UP


def test_work_that_may_have_begun_on_a_machine_that_is_gone_is_named(stage: Stage) -> None:
    shipping(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")
    stage.clock.advance(8 * 3600, asleep=True)

    stage.drive()

    assert stage.run.outcome is Outcome.EXPIRED
    assert "if its agent was started" in stage.run.artifacts_missing[0]


def test_a_machine_that_vanishes_before_its_job_is_replaced_at_once(stage: Stage) -> None:
    shipping(stage)
    stage.box.fault = Unreachable("no route")
    stage.cloud.end("m1")

    stage.after(CAPABILITIES.list_lag_s + 1)

    old, new = stage.run.leases
    assert old.why_ended == "the machine vanished before its job began"
    assert (new.offer.id, stage.run.artifacts_missing) == ("RTX 4090 x2", ())


def test_an_agent_that_does_not_start_makes_the_machine_unfit(stage: Stage) -> None:
    shipping(stage)
    stage.box.replies[START] = Reply(2, b"", b"run.json is not valid\n")

    stage.drive()

    old, _ = stage.run.leases
    assert old.why_ended == "the agent did not start: run.json is not valid"
    assert not old.did_work


@pytest.mark.parametrize("error", [AgentFault("nonsense"), RemoteError("nonsense")], ids=repr)
def test_a_machine_that_answers_nonsense_is_unfit(stage: Stage, error: RemoteError) -> None:
    shipping(stage)
    stage.crate.fault = error

    stage.drive()

    assert_unfit(stage, "nonsense")


def test_files_that_cannot_be_sent_refuse_the_run(stage: Stage) -> None:
    shipping(stage)
    stage.crate.fault = SpecError(["train.jsonl is gone"])

    stage.drive()

    assert (stage.run.state, stage.run.outcome) == (State.RETURNING, Outcome.REFUSED)
    assert stage.run.failure is not None
    assert stage.run.failure.problem == "train.jsonl is gone"


def test_a_cancelled_run_ships_nothing(stage: Stage) -> None:
    shipping(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL)

    stage.drive()

    assert stage.run.outcome is Outcome.CANCELLED
    assert stage.crate.shipped == []


TRIES_CUDA = replace(CAPABILITIES, cuda_patience_s=180.0)
DEAD = Reply(1, b"", b"CUDA answers with error 802\n")


def test_cuda_is_started_before_anything_is_sent_where_dead_gpus_are_sold(stage: Stage) -> None:
    stage.cloud.capabilities = TRIES_CUDA
    shipping(stage)
    stage.box.replies = {"nvidia-smi": ONE_GPU, "cuDriverGetVersion": Reply(0, b"1 13.0\n", b"")}

    stage.drive()

    assert stage.state() is State.SETTING_UP
    asked = [number for number, line in enumerate(stage.box.commands) if "cuInit" in line]
    assert asked and asked[0] < stage.box.commands.index(START)


def test_a_gpu_that_is_listed_and_dead_is_tried_for_three_minutes_then_goes_back(
    stage: Stage,
) -> None:
    stage.cloud.capabilities = TRIES_CUDA
    shipping(stage)
    stage.box.replies = {"nvidia-smi": ONE_GPU, "cuDriverGetVersion": DEAD}

    stage.drive()
    assert "dead: CUDA answers with error 802" in stage.run.waiting
    for _ in range(4):
        stage.after(45)

    assert_unfit(stage, "its GPU is listed, but stayed dead: CUDA answers with error 802")
    assert stage.first.failed_boot_s is not None
    assert sum("cuDriverGetVersion" in line for line in stage.box.commands) == 5


def test_where_patience_is_none_a_dead_gpu_goes_back_after_one_look(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, cuda_patience_s=0.0)
    shipping(stage)
    stage.box.replies = {"nvidia-smi": ONE_GPU, "cuDriverGetVersion": DEAD}

    stage.drive()

    assert_unfit(stage, "its GPU is listed, but stayed dead: CUDA answers with error 802")
    assert stage.first.failed_boot_s is not None
    assert stage.crate.shipped == []


@pytest.mark.parametrize("code", [2, 127], ids=["no way to libcuda", "no python3"])
@pytest.mark.parametrize("in_image", [True, False])
def test_an_image_in_which_nobody_can_ask_is_not_held_against_its_host(
    stage: Stage, code: int, in_image: bool
) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, cuda_patience_s=0.0, container_images=in_image)
    shipping(stage)
    reply = Reply(code, b"", b"CUDA cannot be loaded: libcuda.so.1\n")
    stage.box.replies = {"nvidia-smi": ONE_GPU, "cuDriverGetVersion": reply}

    stage.drive()

    if in_image:
        assert (stage.run.state, stage.run.device) == (State.SETTING_UP, "cuda")
    else:  # a whole computer is all the provider's
        assert_unfit(stage, "stayed dead: CUDA cannot be loaded")


def test_a_gpu_that_comes_to_life_in_time_is_used(stage: Stage) -> None:
    stage.cloud.capabilities = TRIES_CUDA
    shipping(stage)
    stage.box.replies = {"nvidia-smi": ONE_GPU, "cuDriverGetVersion": DEAD}

    stage.drive()
    stage.box.replies["cuDriverGetVersion"] = Reply(0, b"1 13.0\n", b"")
    stage.after(45)

    assert stage.state() is State.SETTING_UP


@pytest.mark.parametrize("told", [b"1 12.4\n", b"1 9.2\n", b"", b"words\n"])
def test_a_driver_older_than_the_jobs_cuda_is_unfit_at_once(stage: Stage, told: bytes) -> None:
    stage.cloud.capabilities = TRIES_CUDA
    shipping(stage, launch=replace(launch(), cuda="12.8"))
    stage.box.replies = {"nvidia-smi": ONE_GPU, "cuDriverGetVersion": Reply(0, told, b"")}

    stage.drive()

    assert_unfit(stage, "12.8 is needed")


def test_a_reaper_on_another_host_stands_for_a_guard_where_the_plan_says_so(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, guard=GuardWay.NONE)
    shipping(stage)
    watched = tuple(replace(one, guard="watched") for one in stage.run.candidates)
    stage.journal.save(stage.run, replace(stage.run, candidates=watched), [], [], NOW_S)

    stage.drive()

    assert (stage.state(), stage.first.guard) == (State.SETTING_UP, "watched")


def test_a_machine_that_nothing_ends_is_used_only_with_the_jobs_word(stage: Stage) -> None:
    stage.cloud.capabilities = replace(CAPABILITIES, guard=GuardWay.NONE)
    shipping(stage)

    stage.drive()

    assert_unfit(stage, "does not say accept_unguarded")


def test_a_kept_machine_lives_through_an_upload_that_is_longer_than_its_old_hold(
    stage: Stage,
) -> None:
    shipping(stage, {"taken_from": "r0", "key": "label-0+r1", "deadline_s": NOW_S + 9000.7})
    stage.box.files[CLEARED_FILE] = RUN_ID.encode()
    stage.box.files[DEADLINE_FILE] = f"{int(NOW_S + 1800)}\n".encode()  # by `clear`
    seen = set()
    stage.crate.pieces = 3
    stage.crate.slowly = lambda: seen.add(stage.box.files[DEADLINE_FILE])

    stage.drive()

    assert stage.state() is State.SETTING_UP
    assert seen == {f"{int(NOW_S + 9000)}\n".encode()}
