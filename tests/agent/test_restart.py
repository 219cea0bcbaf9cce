from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.records import write_record
from orchestrator.agent.restart import Restarts
from orchestrator.agent.runner import Ended
from tests.agent.work_folder import WorkFolder

KILLED = Ended(None, 9)
TRAINS = """\
import json, os, pathlib, signal
folder = pathlib.Path(os.environ["GPULEASE_CHECKPOINTS"])
done = max([int(one.name[5:]) for one in folder.glob("step-*")], default=0)
for step in range(done + 1, 7):
    print("step", step, flush=True)
    if step == {dies_at} and done < {dies_until}:
        os.kill(os.getpid(), signal.SIGKILL)
    if step % 2 == 0:
        (folder / f"step-{{step}}").mkdir()
        (folder / f"step-{{step}}" / "complete.json").write_text(
            json.dumps({{"step": step, "at": 0, "files": []}})
        )
"""


def saved(work: Path, step: int) -> None:
    folder = work / protocol.CHECKPOINTS_DIR / f"step-{step}"
    folder.mkdir(parents=True)
    write_record(folder / protocol.CHECKPOINT_COMPLETE, {"step": step, "at": 0, "files": []})


def test_a_killed_program_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    restarts = Restarts(tmp_path, by_shell=False)
    saved(tmp_path, 9)
    saved(tmp_path, 10)

    found = restarts.after(KILLED)

    assert found is not None
    assert found.step == 10


def test_a_program_that_gets_no_further_is_not_started_again(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    restarts = Restarts(tmp_path, by_shell=False)
    assert restarts.after(KILLED) is None

    saved(tmp_path, 20)
    assert restarts.after(KILLED) is not None
    assert restarts.after(KILLED) is None


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert Restarts(tmp_path, by_shell=False).after(KILLED) is None


@pytest.mark.parametrize("ended", [Ended(0, None), Ended(1, None), Ended(None, 9, killed=True)])
def test_only_a_kill_by_somebody_else_is_worth_another_life(tmp_path: Path, ended: Ended) -> None:
    restarts = Restarts(tmp_path, by_shell=True)
    saved(tmp_path, 10)

    assert restarts.after(ended) is None


def test_a_shell_tells_of_a_killed_command_by_its_exit_code(tmp_path: Path) -> None:
    ended = Ended(128 + 9, None)

    assert Restarts(tmp_path, by_shell=True).signal_of(ended) == 9
    assert Restarts(tmp_path, by_shell=False).signal_of(ended) is None


def test_lives_have_an_end(tmp_path: Path) -> None:
    restarts = Restarts(tmp_path, by_shell=False)
    lives = 0
    for step in range(100):
        saved(tmp_path, step)
        lives += restarts.after(KILLED) is not None

    assert lives == 20


@pytest.mark.parametrize("command", ["python program.py", "true && python program.py"])
def test_a_training_that_is_killed_reaches_the_same_step(work: WorkFolder, command: str) -> None:
    work.write_program(TRAINS.format(dies_at=5, dies_until=4))
    work.write_run(command)

    record = work.run()

    assert (record["why"], record["exit_code"], record["out_of_memory"]) == ("finished", 0, False)
    said = [line for line in work.log().splitlines() if line.startswith("step")]
    assert said == [f"step {n}" for n in (1, 2, 3, 4, 5, 5, 6)]
    (told,) = work.events("restarted")
    assert (told["signal"], told["step"]) == (9, 4)
    assert "started again from checkpoints/step-4" in work.log()
    assert [event["step"] for event in work.events("checkpoint")] == [2, 4, 6]


def test_a_training_that_dies_at_the_same_step_has_failed(work: WorkFolder) -> None:
    work.write_program(TRAINS.format(dies_at=5, dies_until=99))

    record = work.run()

    assert record["signal"] == 9
    assert str(record["message"]).startswith("killed by SIGKILL")
    assert len(work.events("restarted")) == 1
