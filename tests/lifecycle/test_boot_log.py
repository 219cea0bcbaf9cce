from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.clock import FakeClock
from orchestrator.errors import MachineNotFound
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.boot_log import keep_boot_log
from orchestrator.lifecycle.world import World
from tests.lifecycle.clouds import SmallCloud
from tests.lifecycle.steps.harness import Cloud, Crate
from tests.lifecycle.worlds import quiet_world
from tests.runs.samples import lease, run

HELD = lease(machine_id="m1")


def world(cloud: Cloud | SmallCloud, home: Path) -> World:
    clock = FakeClock()
    return replace(
        quiet_world(clock=clock), accounts=Accounts(lambda _: cloud, clock), cargo=Crate(home)
    )


def test_the_end_of_a_long_log_is_kept_and_where_it_lies_is_said(tmp_path: Path) -> None:
    cloud = Cloud(FakeClock(), console="old " * 60_000 + "the last words")

    kept = keep_boot_log(run(), world(cloud, tmp_path), HELD)

    text = (tmp_path / "boot-m1.log").read_text()
    assert (len(text), text[-14:]) == (200_000, "the last words")
    assert kept.notes == (f"its boot log is kept: {tmp_path / 'boot-m1.log'}",)


@pytest.mark.parametrize("folder", ["here", "nowhere"])
def test_a_log_that_cannot_be_had_or_kept_holds_nothing_up(tmp_path: Path, folder: str) -> None:
    (tmp_path / "here").mkdir()
    cloud = Cloud(FakeClock(), console="words")
    if folder == "here":
        cloud.errors["boot_log"] = [MachineNotFound("it is gone")]

    kept = keep_boot_log(run(), world(cloud, tmp_path / folder), HELD)

    assert kept.notes == ()
    assert not list(tmp_path.glob("*/*"))


def test_where_there_is_no_log_none_is_asked_for(tmp_path: Path) -> None:
    assert keep_boot_log(run(), world(SmallCloud(), tmp_path), HELD) == run()
