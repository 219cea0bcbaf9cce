from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.artifacts.elsewhere import SCRATCH, pull_at
from orchestrator.artifacts.s3 import S3
from orchestrator.clock import SystemClock
from orchestrator.errors import HostileArtifact, UsageError
from tests.artifacts.conftest import FILES, home_of, record_of, sha256
from tests.artifacts.memory_store import MemoryStore

RUN = "s3://results/team/mine-abc"


def put_run(
    store: MemoryStore,
    files: dict[str, bytes],
    *,
    run: str = "mine-abc",
    machine: str = "00",
    complete: bool = True,
    others: dict[str, bytes] | None = None,
) -> None:
    """What a machine leaves: one object for each file, and the index."""
    folder = f"results/team/{run}/{machine}"
    listed: dict[str, list[dict[str, object]]] = {"files": [], "others": []}
    number = 0
    for kind, group in (("files", files), ("others", others or {})):
        for path, data in group.items():
            number += 1
            key = f"parts/{number:05d}"
            store.objects[f"{folder}/{key}"] = data
            part = {"key": key, "offset": 0, "size_bytes": len(data)}
            listed[kind].append({**record_of(path, data), "parts": [part]})
    index = {"protocol": 1, "label": "l", "complete": complete, **listed}
    store.objects[f"{folder}/index.json"] = json.dumps(index).encode()


def test_every_file_comes_whole_and_only_once(tmp_path: Path) -> None:
    store = MemoryStore()
    put_run(store, FILES)

    pulled = pull_at(S3(store), RUN, tmp_path / "copy", SystemClock())

    assert (pulled.complete, pulled.missing) == (True, ())
    assert {path for path, _, _ in pulled.files} == {home_of(path) for path in FILES}
    for path, data in FILES.items():
        assert (tmp_path / "copy" / home_of(path)).read_bytes() == data
    assert not (tmp_path / "copy" / SCRATCH).exists()
    again = pull_at(S3(store), RUN, tmp_path / "copy", SystemClock())
    assert again == pulled


def test_the_newest_machine_of_a_run_is_taken(tmp_path: Path) -> None:
    store = MemoryStore()
    put_run(store, {"output/a": b"old"})
    put_run(store, {"output/a": b"older"}, machine="99")
    put_run(store, {"output/a": b"new"}, machine="100")

    pull_at(S3(store), RUN, tmp_path, SystemClock())

    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_file_that_is_not_as_listed_is_missing_and_the_rest_is_there(tmp_path: Path) -> None:
    store = MemoryStore()
    put_run(store, {"output/a": b"good", "output/b": b"best"})
    store.objects["results/team/mine-abc/00/parts/00002"] = b"evil"

    pulled = pull_at(S3(store), RUN, tmp_path, SystemClock())

    assert [path for path, _, _ in pulled.files] == ["a"]
    assert len(pulled.missing) == 1
    assert "'output/b'" in pulled.missing[0]
    assert not (tmp_path / "b").exists()


def checkpoint() -> dict[str, bytes]:
    listed = {"path": "state", "size_bytes": 5, "sha256": sha256(b"state")}
    complete = json.dumps({"step": 4, "files": [listed]}).encode()
    return {"checkpoints/step-4/state": b"state", "checkpoints/step-4/complete.json": complete}


def test_of_a_machine_that_ended_too_early_there_are_its_checkpoint_and_its_log(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    others = {"log.txt": b"step 4\nstep 5\n", **checkpoint()}
    put_run(store, {}, complete=False, others=others)

    pulled = pull_at(S3(store), RUN, tmp_path, SystemClock())

    assert not pulled.complete
    assert pulled.missing == ("whatever was not yet in the bucket when the machine ended",)
    assert (tmp_path / "log.txt").read_bytes() == others["log.txt"]
    assert (tmp_path / "checkpoints/step-4/state").read_bytes() == b"state"


def test_a_machine_without_a_checkpoint_leaves_that_of_the_one_before(tmp_path: Path) -> None:
    store = MemoryStore()
    put_run(store, {}, complete=False, others=checkpoint())
    put_run(store, {}, machine="01", complete=False, others={"log.txt": b"starting\n"})

    pull_at(S3(store), RUN, tmp_path, SystemClock())

    assert (tmp_path / "log.txt").read_bytes() == b"starting\n"
    assert (tmp_path / "checkpoints/step-4/state").read_bytes() == b"state"


def test_where_several_runs_are_they_are_named(tmp_path: Path) -> None:
    store = MemoryStore()
    put_run(store, {"output/a": b"a"})
    put_run(store, {"output/a": b"a"}, run="other\x1b[31m")

    with pytest.raises(UsageError, match="no results of one run") as caught:
        pull_at(S3(store), "s3://results/team", tmp_path, SystemClock())

    assert RUN in caught.value.hint
    assert caught.value.hint.isprintable()


def test_an_index_that_leads_outside_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    put_run(store, {"../../x": b"evil"})

    with pytest.raises(HostileArtifact, match=r"\.\./\.\./x"):
        pull_at(S3(store), RUN, tmp_path / "copy", SystemClock())


@pytest.mark.parametrize("address", [RUN, "s3://results", "somewhere", "s3://b"])
def test_where_there_is_no_run_nothing_is_made_up(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        pull_at(S3(MemoryStore()), address, tmp_path, SystemClock())
