from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.artifacts.checkpoints import Checkpoint
from orchestrator.artifacts.intake import Progress
from orchestrator.artifacts.local import HomeStore
from orchestrator.clock import FakeClock
from orchestrator.errors import ArtifactsError, LostCheckpoint, Unreachable
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.shell import Shell
from tests.artifacts.conftest import Faulty, cut_after, put_checkpoint
from tests.remote.conftest import Machine

CONTENT = {"model.bin": bytes(range(256)) * 9000, "trainer/state.json": b"{}"}


def fetch(store: HomeStore, shell: Shell, path: str) -> Checkpoint:
    for _ in range(100):
        outcome = store.fetch_checkpoint(shell, path, limit_bytes=10**9)
        if isinstance(outcome, Checkpoint):
            return outcome
    raise AssertionError("never finished")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "complete.json"
    }


def steps(store: HomeStore) -> list[int]:
    return [checkpoint.step for checkpoint in store.checkpoints()]


def test_a_checkpoint_comes_home_whole(machine: Machine, shell: Shell, tmp_path: Path) -> None:
    store = HomeStore(tmp_path / "run")
    path = put_checkpoint(machine.folder, 40, CONTENT)

    checkpoint = fetch(store, shell, path)

    assert checkpoint == Checkpoint(40, tmp_path / "run" / "checkpoints" / "step-40")
    assert contents(checkpoint.folder) == CONTENT
    assert (checkpoint.folder / "complete.json").read_bytes() == (
        machine.folder / path / "complete.json"
    ).read_bytes()
    assert list(store.checkpoints()) == [checkpoint]


def test_the_two_newest_are_kept_and_nothing_else_stays(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m")
    store = HomeStore(tmp_path / "run")
    for step in (5, 10, 100, 20):
        fetch(store, shell, put_checkpoint(tmp_path / "m", step, CONTENT))

    assert steps(store) == [100, 20]
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2


def test_an_unfinished_one_is_not_visible_and_goes_on_in_another_process(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m")
    path = put_checkpoint(tmp_path / "m", 40, CONTENT)
    first = HomeStore(tmp_path / "run")
    with pytest.raises(Unreachable):
        fetch(first, Faulty(shell, cut_after(3)), path)
    assert steps(first) == []
    first.close()
    watched = Faulty(shell, lambda _, pieces: pieces)

    checkpoint = fetch(HomeStore(tmp_path / "run"), watched, path)

    assert contents(checkpoint.folder) == CONTENT
    assert watched.pulled[0] == (f"{path}/model.bin", 3 * 256 * 1024)


def test_one_call_is_bounded_in_time(tmp_path: Path) -> None:
    clock = FakeClock()

    def slowly(_: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            clock.advance(1.0)
            yield piece

    shell = Faulty(FolderShell(tmp_path / "m"), slowly)
    path = put_checkpoint(tmp_path / "m", 40, CONTENT)
    store = HomeStore(tmp_path / "run", clock)

    outcome = store.fetch_checkpoint(shell, path, limit_bytes=10**9, budget_s=2.0)

    assert isinstance(outcome, Progress)
    assert 0 < outcome.done_bytes < outcome.done_bytes + outcome.left_bytes
    assert contents(fetch(store, shell, path).folder) == CONTENT


def test_what_is_home_is_not_fetched_again(tmp_path: Path) -> None:
    shell = Faulty(FolderShell(tmp_path / "m"), lambda _, pieces: pieces)
    path = put_checkpoint(tmp_path / "m", 40, CONTENT)
    store = HomeStore(tmp_path / "run")
    fetch(store, shell, path)
    asked = len(shell.pulled)

    fetch(HomeStore(tmp_path / "run"), shell, path)

    assert len(shell.pulled) == asked


def test_the_same_step_made_anew_replaces_the_old_one(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m")
    store = HomeStore(tmp_path / "run")
    fetch(store, shell, put_checkpoint(tmp_path / "m", 40, CONTENT))
    newer = {**CONTENT, "trainer/state.json": b"[]"}

    checkpoint = fetch(store, shell, put_checkpoint(tmp_path / "m", 40, newer))

    assert contents(checkpoint.folder) == newer
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


def test_one_that_the_machine_removed_meanwhile_is_lost_and_the_next_comes(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m")
    store = HomeStore(tmp_path / "run")
    path = put_checkpoint(tmp_path / "m", 40, CONTENT)
    (tmp_path / "m" / path / "trainer" / "state.json").unlink()

    with pytest.raises(LostCheckpoint, match="step-40' is lost"):
        fetch(store, shell, path)
    shutil.rmtree(tmp_path / "m" / path)
    with pytest.raises(LostCheckpoint, match="no complete checkpoint"):
        fetch(store, shell, path)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []

    fetch(store, shell, put_checkpoint(tmp_path / "m", 50, CONTENT))
    assert steps(store) == [50]


@pytest.mark.parametrize("path", ["../x", "/etc", "checkpoints/../../x", "output/step-1", ""])
def test_a_checkpoint_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "m"
    put_checkpoint(folder, 1, CONTENT)
    shutil.copytree(folder / "checkpoints" / "step-1", folder / "output" / "step-1")

    with pytest.raises(LostCheckpoint, match="refused"):
        fetch(HomeStore(tmp_path / "run"), FolderShell(folder), path)


def test_one_that_home_cannot_take_now_is_not_lost(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m")
    store = HomeStore(tmp_path / "run")
    path = put_checkpoint(tmp_path / "m", 40, CONTENT)
    in_the_way = tmp_path / "run" / "checkpoints"
    in_the_way.parent.mkdir()
    in_the_way.write_text("")

    with pytest.raises(ArtifactsError) as raised:
        fetch(store, shell, path)
    assert not isinstance(raised.value, LostCheckpoint)

    in_the_way.unlink()
    assert contents(fetch(store, shell, path).folder) == CONTENT


def test_a_link_in_the_checkpoints_place_is_not_followed(tmp_path: Path) -> None:
    shell = FolderShell(tmp_path / "m")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-40").symlink_to(outside)

    checkpoint = fetch(
        HomeStore(tmp_path / "run"), shell, put_checkpoint(tmp_path / "m", 40, CONTENT)
    )

    assert contents(checkpoint.folder) == CONTENT
    assert not checkpoint.folder.is_symlink()
    assert list(outside.iterdir()) == []
