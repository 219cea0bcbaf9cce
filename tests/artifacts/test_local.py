from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.artifacts.checkpoints import Checkpoint
from orchestrator.artifacts.intake import Progress
from orchestrator.artifacts.local import HomeStore
from orchestrator.artifacts.manifest import parse_manifest
from orchestrator.errors import HostileArtifact
from orchestrator.remote.folder import FolderShell
from orchestrator.remote.shell import Shell
from tests.artifacts.conftest import FILES, Faulty, put_checkpoint, record_of


def test_a_run_is_collected_by_its_manifest(filled: Shell, tmp_path: Path) -> None:
    records = [record_of(path, data) for path, data in FILES.items()]
    hostile = record_of("../../x", b"")
    filled.write("manifest.json", json.dumps({"files": [*records, hostile]}).encode())
    store = HomeStore(tmp_path / "run")

    manifest = store.read_manifest(filled, "manifest.json", limit_bytes=10**9)
    assert len(store.plan_pull(manifest)) == len(FILES)
    progress = store.fetch_some(filled, manifest)

    assert progress.finished
    assert progress.failed == ("'../../x' is refused: it has the part '..'",)
    assert store.plan_pull(manifest) == []
    assert (store.artifacts_dir / "model" / "config.json").read_bytes() == b"{}"
    store.fetch(filled, manifest.files[0])
    store.close()


def test_an_absent_manifest_is_said(
    folder_machine: tuple[FolderShell, Path], tmp_path: Path
) -> None:
    with pytest.raises(HostileArtifact, match="no JSON"):
        HomeStore(tmp_path).read_manifest(folder_machine[0], "absent.json", limit_bytes=10)


def test_a_long_list_is_read_once_and_the_machine_hears_that_somebody_fetches(
    folder_machine: tuple[FolderShell, Path], tmp_path: Path
) -> None:
    machine, folder = folder_machine

    class Counting(Faulty):
        def read(self, path: str, offset: int, limit: int) -> bytes:
            reads.append(path)
            return super().read(path, offset, limit)

    reads: list[str] = []
    shell = Counting(machine, lambda _, pieces: pieces)
    records = [record_of(f"output/{number}", b"") for number in range(3000)]
    machine.write("manifest.json", json.dumps({"files": records}).encode())
    store = HomeStore(tmp_path / "run")
    first = store.read_manifest(shell, "manifest.json", limit_bytes=10**9)
    read = len(reads)
    assert not (folder / "sent").exists()

    assert store.read_manifest(shell, "manifest.json", limit_bytes=10**9) is first
    assert len(reads) == read
    assert (folder / "sent").exists()

    # Another agent may have followed, and listed what there is anew.
    machine.write("manifest.json", json.dumps({"files": records[1:]}).encode())
    assert len(store.read_manifest(shell, "manifest.json", limit_bytes=10**9).files) == 2999


def test_what_a_machine_listed_is_known_when_it_is_gone(
    folder_machine: tuple[FolderShell, Path], tmp_path: Path
) -> None:
    listed = {"files": [record_of(path, data) for path, data in FILES.items()]}
    folder_machine[0].write("manifest.json", json.dumps(listed).encode())
    store = HomeStore(tmp_path / "run")
    assert store.known_manifest(limit_bytes=10**9) is None

    manifest = store.read_manifest(folder_machine[0], "manifest.json", limit_bytes=10**9)

    later = HomeStore(tmp_path / "run")
    assert later.known_manifest(limit_bytes=10**9) == manifest
    (tmp_path / "run/manifest.json").write_text("[")
    assert later.known_manifest(limit_bytes=10**9) is None


def test_the_disk_is_measured_also_before_the_folder_is(tmp_path: Path) -> None:
    total_bytes = HomeStore(tmp_path / "not" / "yet").disk_bytes()

    assert total_bytes == shutil.disk_usage(tmp_path).total


def test_progress_adds_refusals_to_failures() -> None:
    progress = Progress(1, 2, 0, 0, ("one",)).with_failed(("refused",))

    assert progress.failed == ("refused", "one")


def test_a_checkpoint_that_is_home_is_not_fetched_again_with_the_artifacts(tmp_path: Path) -> None:
    content = {"model.bin": bytes(range(256)) * 4000, "state.json": b"{}"}
    path = put_checkpoint(tmp_path / "m", 40, content)
    shell = Faulty(FolderShell(tmp_path / "m"), lambda _, pieces: pieces)
    store = HomeStore(tmp_path / "run")
    assert isinstance(store.fetch_checkpoint(shell, path, limit_bytes=10**9), Checkpoint)
    shell.pulled.clear()
    document = (tmp_path / "m" / path / "complete.json").read_bytes()
    files = {**content, "complete.json": document}
    records = [record_of(f"{path}/{name}", data, "checkpoint") for name, data in files.items()]
    manifest = parse_manifest(json.dumps({"files": records}).encode(), limit_bytes=10**9)

    assert store.fetch_some(shell, manifest).finished

    assert [pulled for pulled, _ in shell.pulled] == [f"{path}/complete.json"]
    for name, data in files.items():
        assert (store.artifacts_dir / path / name).read_bytes() == data
    assert HomeStore(tmp_path / "run").plan_pull(manifest) == []
