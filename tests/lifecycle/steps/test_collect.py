from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import pytest

from orchestrator.agent.protocol import FETCHED_FILE, MANIFEST_FILE
from orchestrator.errors import RemoteError, Unreachable
from orchestrator.lifecycle.deadlines import MANIFEST_S
from orchestrator.remote.shell import Reply
from orchestrator.runs.run import Run
from orchestrator.runs.states import LeaseState, Outcome, State, Wish
from orchestrator.spec.job import KEEPABLE
from tests.lifecycle.steps.harness import CAPABILITIES, Stage, listed
from tests.runs.samples import NOW_S, RUN_ID, launch

RESULTS = {
    "exit.json": (b"{}", "exit"),
    "metrics.json": (b'{"eval_accuracy": 0.9}', "metrics"),
    "output/model/config.json": (b'{"a": 1}', "model"),
    "checkpoints/step-4/weights": (b"weights", "checkpoint"),
}


def collecting(stage: Stage, *, exit_code: int = 0, **changes: object) -> None:
    """A machine whose program has ended."""
    ended = {"why": "finished", "exit_code": exit_code, "ended_at": NOW_S}
    ready = {"exit": ended, "exit_seen_s": NOW_S, **changes}
    stage.begin_held(State.COLLECTING, {"did_work": True}, **ready)


def list_results(stage: Stage, *more: dict[str, object]) -> None:
    """The agent's manifest over RESULTS, and `more` that it claims."""
    files = [listed(path, data, kind) for path, (data, kind) in RESULTS.items()]
    stage.box.files.update({path: data for path, (data, _) in RESULTS.items()})
    stage.box.files[MANIFEST_FILE] = json.dumps({"files": [*files, *more]}).encode()
    stage.box.say(event="ready", manifest=True)


def is_over(run: Run) -> bool:
    return run.state in (State.RETURNING, State.ENDED)


def is_returning(stage: Stage) -> bool:
    return stage.run.state is State.RETURNING and stage.first.state is LeaseState.RETURNING


def test_everything_is_home_before_the_machine_goes_back(stage: Stage) -> None:
    collecting(stage)
    list_results(stage)

    stage.drive()

    assert is_returning(stage)
    assert (stage.run.outcome, stage.run.failure) == (Outcome.SUCCEEDED, None)
    assert stage.first.pulled_bytes == sum(len(data) for data, _ in RESULTS.values())
    assert sorted(path for path, _, _ in stage.run.artifacts) == [
        "checkpoints/step-4/weights",
        "exit.json",
        "metrics.json",
        "model/config.json",
    ]
    assert (stage.home / "artifacts/model/config.json").read_bytes() == b'{"a": 1}'
    assert stage.run.metrics == {"eval_accuracy": 0.9}
    assert stage.run.artifacts_missing == ()
    assert stage.box.written == [FETCHED_FILE]


def test_traffic_of_which_its_agent_tells_last_counts(stage: Stage) -> None:
    collecting(stage)
    stage.box.say(event="host", received_bytes=5 << 30, sent_bytes=1 << 30)
    list_results(stage)

    stage.after(10)

    assert is_returning(stage)
    assert stage.first.traffic.received_bytes == 5 << 30


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({"exit_code": 3}, Outcome.FAILED, "job_failed"),
        ({"stop_reason": "cancelled"}, Outcome.CANCELLED, None),
        ({"stop_reason": "cap"}, Outcome.CAPPED, "capped"),
        ({"stop_reason": "duration"}, Outcome.EXPIRED, "max_duration"),
        ({"exit": {"why": "setup"}}, Outcome.FAILED, "setup"),
        ({"exit": {"why": "no_gpu"}}, Outcome.FAILED, "no_gpu"),
        ({"exit": {"out_of_memory": True}}, Outcome.FAILED, "out_of_memory"),
        ({"exit": {"disk_full": True}}, Outcome.FAILED, "disk_full"),
    ],
    ids=str,
)
def test_how_the_program_ended_is_the_runs_outcome(
    stage: Stage, changes: dict[str, object], outcome: Outcome, code: str | None
) -> None:
    collecting(stage, **changes)  # type: ignore[arg-type]
    list_results(stage)

    stage.drive()

    assert stage.run.outcome is outcome
    assert (stage.run.failure.code if stage.run.failure else None) == code
    assert len(stage.run.artifacts) == len(RESULTS)


def test_an_exit_code_is_said(stage: Stage) -> None:
    collecting(stage, exit_code=3)
    list_results(stage)

    stage.drive()

    assert stage.run.failure is not None
    assert "exit code 3" in stage.run.failure.problem


def test_who_found_no_gpu_is_said_once(stage: Stage) -> None:
    message = "torch sees no GPU on this machine"
    collecting(stage, exit={"why": "no_gpu", "message": message})
    list_results(stage)

    stage.drive()

    assert stage.run.failure is not None
    assert stage.run.failure.problem == message


def test_what_the_job_does_not_keep_stays_away(stage: Stage) -> None:
    collecting(stage, job={"kind": "finetune", "artifacts": {"keep": ["model"]}})
    list_results(stage)

    stage.drive()

    homes = {path for path, _, _ in stage.run.artifacts}
    assert homes == {"exit.json", "metrics.json", "model/config.json"}


@pytest.mark.parametrize("keep", [list(KEEPABLE), ["model"]])
def test_what_is_too_much_for_one_list_is_missing_where_it_was_wanted(
    stage: Stage, keep: list[str]
) -> None:
    collecting(stage, job={"artifacts": {"keep": keep}})
    list_results(stage)
    manifest = json.loads(stage.box.files[MANIFEST_FILE])
    manifest["left"] = [{"kind": "rest", "files": 12, "first": "output/x"}]
    stage.box.files[MANIFEST_FILE] = json.dumps(manifest).encode()

    stage.drive()

    assert is_returning(stage)
    assert (stage.home / "artifacts/model/config.json").exists()
    missing = [why.partition(":")[0] for why in stage.run.artifacts_missing]
    wanted = ["12 files, 'output/x' first, are left"] if "rest" in keep else []
    assert missing == wanted


def test_a_hundred_thousand_files_and_more_do_not_cost_the_model(stage: Stage) -> None:
    collecting(stage, job={"artifacts": {"keep": ["model"]}})
    list_results(stage, *(listed(f"output/i{n}", b"") for n in range(100_000)))

    stage.drive()

    assert is_returning(stage)
    assert (stage.home / "artifacts/model/config.json").exists()


def test_the_last_checkpoint_comes_home_unless_the_job_does_not_keep_it(stage: Stage) -> None:
    collecting(stage, job={"kind": "finetune", "artifacts": {"keep": list(KEEPABLE)}})
    list_results(stage)

    stage.drive()

    assert "checkpoints/step-4/weights" in {path for path, _, _ in stage.run.artifacts}


def test_a_path_that_leaves_the_folder_is_refused_and_the_rest_comes_home(
    stage: Stage, tmp_path: Path
) -> None:
    collecting(stage)
    list_results(stage, listed("../escaped", b"owned"))
    stage.box.files["../escaped"] = b"owned"

    stage.drive()

    assert is_returning(stage)
    assert len(stage.run.artifacts) == len(RESULTS)
    assert len(stage.run.artifacts_missing) == 1
    assert "escaped" in stage.run.artifacts_missing[0]
    assert list(tmp_path.rglob("escaped")) == []
    assert FETCHED_FILE not in stage.box.written


def test_a_file_that_is_not_what_the_list_says_is_missing(stage: Stage) -> None:
    collecting(stage)
    list_results(stage)
    stage.box.files["output/model/config.json"] = b'{"a": 2}'

    stage.drive()

    assert is_returning(stage)
    assert not (stage.home / "artifacts/model/config.json").exists()
    assert any("config.json" in missing for missing in stage.run.artifacts_missing)
    assert FETCHED_FILE not in stage.box.written


@pytest.mark.parametrize("document", [b"", b"not json", b'{"files": 3}', b"[" * 100_000], ids=len)
def test_a_manifest_that_is_none_gives_the_machine_back(stage: Stage, document: bytes) -> None:
    collecting(stage)
    stage.box.files[MANIFEST_FILE] = document
    stage.box.say(event="ready", manifest=True)

    stage.drive()

    assert is_returning(stage)
    assert stage.run.artifacts_missing
    assert stage.run.notes


def test_a_manifest_that_never_comes_is_waited_for_only_so_long(stage: Stage) -> None:
    collecting(stage)

    stage.after(MANIFEST_S)
    assert stage.state() is State.COLLECTING
    stage.after(11)

    assert is_returning(stage)
    assert "never listed its artifacts" in stage.events()
    assert stage.run.artifacts_missing


@pytest.mark.parametrize(("alive", "waits"), [("true", True), ("false", False)])
def test_a_machine_is_kept_for_its_list_only_while_an_agent_makes_one(
    stage: Stage, alive: str, waits: bool
) -> None:
    collecting(stage)
    stage.box.replies = {
        "guard-status": Reply(0, f'{{"agent_alive": {alive}}}'.encode(), b""),
        "conclude": Reply(3, b"", b"this job was started before"),
    }

    for _ in range(4):
        stage.after(11)

    assert (stage.state() is State.COLLECTING) is waits


def test_what_an_agent_that_died_leaves_is_listed_by_another(stage: Stage) -> None:
    collecting(stage)
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": false}', b"")}
    for _ in range(4):
        stage.after(11)
    assert stage.box.commands.count("python3 agent.pyz conclude") == 1
    assert "the agent died" in stage.run.waiting

    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": true}', b"")}
    list_results(stage)
    stage.drive(3)

    assert is_returning(stage)
    assert stage.run.artifacts_missing == ()
    assert stage.run.artifacts


def test_a_broken_connection_is_opened_again(stage: Stage) -> None:
    collecting(stage)
    list_results(stage)
    stage.box.fault = Unreachable("reset")
    stage.after(60)
    assert stage.state() is State.COLLECTING

    stage.box.fault = None
    stage.after(2)

    assert stage.run.outcome is Outcome.SUCCEEDED


def test_a_machine_that_ends_meanwhile_leaves_the_verdict_and_names_the_loss(
    stage: Stage,
) -> None:
    collecting(stage)
    stage.box.fault = Unreachable("reset")
    stage.cloud.end("m1")

    stage.after(CAPABILITIES.list_lag_s + 1)

    assert is_returning(stage)
    assert stage.run.outcome is Outcome.SUCCEEDED
    assert stage.run.artifacts_missing


def test_results_that_share_their_content_are_not_absurd(stage: Stage) -> None:
    collecting(stage)
    size_bytes = (stage.run.launch.disk_gib << 30) - 1000
    claims = [{**listed(f"output/{n}", b""), "size_bytes": size_bytes} for n in range(3)]
    list_results(stage, *claims)

    stage.until(is_over)

    assert [missing for missing in stage.run.artifacts_missing if "too large" in missing] == [
        f"'output/2' is refused: it is too large: {size_bytes} bytes"
    ]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("room_is_made", [True, False])
def test_what_does_not_fit_at_home_is_waited_for_as_long_as_the_machine_is_there(
    stage: Stage, room_is_made: bool
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(stage.home)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no mounts here")
    try:
        collecting(stage)
        large = bytes(12 << 20)
        list_results(stage, listed("output/large.bin", large))
        stage.box.files["output/large.bin"] = large

        stage.drive(3)
        assert stage.state() is State.COLLECTING
        assert "there is no room at home for 'large.bin'" in stage.run.waiting
        assert "not all fits at home: make room within 30 min" in " ".join(stage.run.notes)
        assert (stage.home / "artifacts/model/config.json").exists()

        if room_is_made:
            subprocess.run(["mount", "-o", "remount,size=64m", str(stage.home)], check=True)
            stage.until(is_over)
            assert (stage.run.outcome, stage.run.artifacts_missing) == (Outcome.SUCCEEDED, ())
        else:
            stage.restart()
            stage.cloud.end("m1")
            stage.box.fault = Unreachable("gone")
            stage.until(is_over)
            assert stage.run.artifacts_missing == ("'large.bin' was not fetched",)
        homes = {path for path, _, _ in stage.run.artifacts}
        assert homes >= {"exit.json", "metrics.json", "model/config.json"}
        assert ("large.bin" in homes) is room_is_made
    finally:
        stage.world.forget_run(stage.run)
        subprocess.run(["umount", "-l", str(stage.home)], check=True)


def test_the_cap_wins_over_the_artifacts(stage: Stage) -> None:
    collecting(stage, cap_usd=Decimal("0.50"))
    stage.box.fault = Unreachable("reset")

    stage.after(2820)

    assert is_returning(stage)
    assert stage.run.artifacts_missing


def test_cancel_now_leaves_the_artifacts(stage: Stage) -> None:
    collecting(stage)
    list_results(stage)
    stage.journal.wish(RUN_ID, Wish.CANCEL_NOW)

    stage.drive()

    assert is_returning(stage)
    assert stage.run.outcome is Outcome.CANCELLED
    assert stage.run.artifacts == ()
    assert stage.run.artifacts_missing


def test_a_home_that_cannot_be_written_is_waited_for_and_nothing_is_lost(stage: Stage) -> None:
    collecting(stage)
    list_results(stage)
    in_the_way = stage.home / "artifacts"
    in_the_way.write_text("no folder")

    stage.drive()
    assert (stage.state(), stage.first.state) == (State.COLLECTING, LeaseState.HELD)
    assert "goes on by itself" in stage.run.notes[-1]
    in_the_way.unlink()
    stage.after(5)

    assert is_returning(stage)
    assert len(stage.run.artifacts) == len(RESULTS)


def test_an_agent_that_still_lists_what_it_has_is_waited_for(stage: Stage) -> None:
    collecting(stage)
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": true}', b"")}

    stage.after(MANIFEST_S + 1)
    assert stage.state() is State.COLLECTING
    list_results(stage)
    stage.after(10)

    assert is_returning(stage)
    assert len(stage.run.artifacts) == len(RESULTS)


def test_a_list_whose_event_was_cut_off_is_found(stage: Stage) -> None:
    collecting(stage, event_offset=2000)
    stage.box.replies = {"guard-status": Reply(0, b'{"agent_alive": true}', b"")}
    list_results(stage)
    stage.box.files["events.jsonl"] = b"x" * 3000

    for _ in range(3):
        stage.after(11)

    assert is_returning(stage)
    assert len(stage.run.artifacts) == len(RESULTS)


def test_a_log_that_cannot_be_written_holds_up_nothing_and_is_named(stage: Stage) -> None:
    collecting(stage)
    list_results(stage)
    stage.box.files["log.txt"] = b"line"
    (stage.home / "log.txt").mkdir()

    stage.drive()

    assert is_returning(stage)
    assert len(stage.run.artifacts) == len(RESULTS)
    (missing,) = stage.run.artifacts_missing
    assert missing.startswith("the log: ")


@pytest.mark.parametrize("refusal", [RemoteError("The machine's disk is full."), Unreachable("")])
def test_a_machine_that_cannot_be_told_that_all_is_home_goes_back(
    stage: Stage, refusal: RemoteError
) -> None:
    collecting(stage)
    list_results(stage)
    stage.box.refuses = refusal

    stage.drive()

    assert is_returning(stage)
    assert stage.run.outcome is Outcome.SUCCEEDED
    assert stage.run.artifacts_missing == ()


def test_a_machine_is_not_kept_for_another_job_when_it_cannot_be_told(stage: Stage) -> None:
    collecting(stage, launch=replace(launch(), keep_s=600.0))
    list_results(stage)
    stage.box.refuses = Unreachable("the line broke")
    stage.drive()
    assert stage.state() is State.COLLECTING

    stage.box.refuses = RemoteError("The machine's disk is full.")
    stage.after(5)

    assert is_returning(stage)


@pytest.mark.parametrize("restarts", [False, True])
def test_nothing_is_missing_of_a_machine_that_ended_when_all_was_home(
    stage: Stage, restarts: bool
) -> None:
    collecting(stage)
    list_results(stage)
    save = stage.journal.save

    def dies(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    stage.journal.save = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.drive()
    stage.journal.save = save  # type: ignore[method-assign]
    assert stage.box.written == [FETCHED_FILE]
    if restarts:
        stage.restart()
    stage.cloud.end("m1")
    stage.box.fault = Unreachable("gone")
    stage.after(60)

    stage.until(lambda run: not run.is_open)

    assert (stage.run.outcome, stage.run.artifacts_missing) == (Outcome.SUCCEEDED, ())
    assert len(stage.run.artifacts) == len(RESULTS)
    assert stage.run.metrics == {"eval_accuracy": 0.9}
