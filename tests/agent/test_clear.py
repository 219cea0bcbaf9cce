from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.agent import protocol
from orchestrator.agent.clear import NotOver, begin, finish
from tests.agent.work_folder import WorkFolder

LINES = "print('hello'); open('../output/result', 'w').write('x')"


def kept(work: WorkFolder) -> None:
    """A job that is over and fetched, on a machine that is kept."""
    work.write_program(LINES, keep_s=600, ends_machine=True)
    work.run()
    (work.path / protocol.FETCHED_FILE).touch()


def test_a_second_job_runs_where_the_first_one_was_as_on_a_fresh_machine(work: WorkFolder) -> None:
    kept(work)
    (work.path / protocol.SECRETS_FILE).write_text('{"TOKEN": "x"}')
    deadline = work.path / protocol.DEADLINE_FILE
    deadline.write_text(f"{int(work.started_s) + 99_999}\n")

    cleared = work.call("clear", "runid456")

    assert (cleared.returncode, cleared.stderr) == (0, b"")
    left = {path.name for path in work.path.iterdir()}
    for name in (protocol.EVENTS_FILE, protocol.OUTPUT_DIR, protocol.SECRETS_FILE, "fetched"):
        assert name not in left
    assert {protocol.AGENT, protocol.CODE_DIR, protocol.RUN_FILE} <= left
    assert 1790 <= float(deadline.read_text()) - work.started_s <= 1900  # its hold, from now on
    assert work.call("clear", "runid456").returncode == 0
    work.write_program("print('again')", run="runid456")
    assert work.run()["exit_code"] == 0
    assert "again" in work.log() and "hello" not in work.log()
    assert not (work.path / "output/result").exists()


def test_a_job_that_runs_or_was_not_fetched_is_not_cleared(work: WorkFolder) -> None:
    work.write_program("import time; print('up', flush=True); time.sleep(60)")
    work.start()
    work.wait_for_log("up")

    refused = work.call("clear", "runid456")

    assert refused.returncode == 3
    assert b"not over" in refused.stderr
    assert json.loads(work.call("guard-status").stdout)["agent_alive"] is True
    assert work.call("kill").returncode == 0


def test_a_machine_that_is_ending_takes_no_other_job(tmp_path: Path) -> None:
    (tmp_path / protocol.FETCHED_FILE).touch()
    (tmp_path / protocol.END_FILE).touch()

    with pytest.raises(NotOver, match="ending"):
        begin(tmp_path, "runid456")


def test_clearing_that_was_cut_goes_on(tmp_path: Path) -> None:
    (tmp_path / protocol.FETCHED_FILE).touch()
    (tmp_path / protocol.LOG_FILE).touch()
    assert begin(tmp_path, "runid456")
    (tmp_path / protocol.FETCHED_FILE).unlink()

    assert begin(tmp_path, "runid456")
    finish(tmp_path, {})

    assert not begin(tmp_path, "runid456")
    assert not (tmp_path / protocol.LOG_FILE).exists()
    with pytest.raises(NotOver, match="not over"):
        begin(tmp_path, "runid789")


def test_a_secret_in_memory_goes_with_its_link_and_no_other_file_does(tmp_path: Path) -> None:
    memory = tmp_path / ".gl-abcdefghij"
    memory.write_text("secret")
    other = tmp_path / "precious"
    other.write_text("x")
    work = tmp_path / "work"
    work.mkdir()
    (work / protocol.SECRETS_FILE).symlink_to(memory)
    (work / protocol.SLOTS_FILE).symlink_to(other)
    (work / protocol.FETCHED_FILE).touch()

    begin(work, "runid456")
    finish(work, {})

    assert not memory.exists() and other.exists()
    assert [path.name for path in work.iterdir()] == [protocol.CLEARED_FILE]


def test_a_fetched_machine_that_is_kept_ends_itself_only_after_its_time(
    work: WorkFolder,
) -> None:
    kept(work)
    work.until((work.path / protocol.HASHES_FILE).exists, "its files read")

    work.advance(640)
    assert work.events("ending") == []
    work.advance(30)

    assert work.wait_for("ending")["why"] == "kept"
