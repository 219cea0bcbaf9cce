from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.agent.manifest import list_files


def fill(work: Path, *paths: str) -> None:
    """Make files that hold their own names."""
    for path in paths:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)


def test_files_come_in_order_of_pull_with_the_two_newest_checkpoints(tmp_path: Path) -> None:
    fill(tmp_path, "output/a", "output/model/w", "log.txt", "metrics.json", "exit.json", "secret")
    for step in (1, 2, 10):
        fill(tmp_path, f"checkpoints/step-{step}/state")
        complete = tmp_path / "checkpoints" / f"step-{step}" / "complete.json"
        complete.write_text(json.dumps({"step": step}))
    fill(tmp_path, "checkpoints/step-11/state")

    files, _, notes = list_files(tmp_path)

    assert [(file["kind"], file["path"]) for file in files] == [
        ("exit", "exit.json"),
        ("metrics", "metrics.json"),
        ("logs", "log.txt"),
        ("model", "output/model/w"),
        ("checkpoint", "checkpoints/step-10/complete.json"),
        ("checkpoint", "checkpoints/step-10/state"),
        ("checkpoint", "checkpoints/step-2/complete.json"),
        ("checkpoint", "checkpoints/step-2/state"),
        ("rest", "output/a"),
    ]
    assert notes == []


def test_an_output_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path, "elsewhere/x")
    (tmp_path / "output").symlink_to(tmp_path / "elsewhere")

    assert list_files(tmp_path) == ([], [], ["'output' is a link and is not collected"])


def test_names_that_are_no_text_are_left_out_and_told(tmp_path: Path) -> None:
    fill(tmp_path, "output/fine name", "output/new\nline", "output/\x1b[2J")
    (tmp_path / "output" / os.fsdecode(b"\xff")).touch()

    files, _, notes = list_files(tmp_path)

    assert [file["path"] for file in files] == ["output/fine name"]
    assert len(notes) == 3
    assert all(note.isprintable() for note in notes)


def test_of_more_files_than_a_list_may_have_the_first_in_order_of_pull_are_listed(
    tmp_path: Path,
) -> None:
    fill(
        tmp_path, "output/a", "output/b", "output/c", "output/model/w", "metrics.json", "exit.json"
    )

    files, left, _ = list_files(tmp_path, 4)

    assert [file["path"] for file in files] == [
        "exit.json", "metrics.json", "output/model/w", "output/a",
    ]  # fmt: skip
    assert left == [{"kind": "rest", "files": 2, "first": "output/b"}]
    assert list_files(tmp_path, 6)[1] == []


def test_a_list_is_never_longer_than_its_readers_take(tmp_path: Path) -> None:
    deep = (tmp_path / "output").joinpath(*["é" * 120] * 14)  # six bytes of JSON each
    deep.mkdir(parents=True)
    for number in range(3400):
        (deep / str(number)).touch()

    files, left, _ = list_files(tmp_path)

    assert 1000 < len(files) < 3400
    assert left[0]["files"] == 3400 - len(files)
    assert len(protocol.encode({"files": files})) < protocol.LIST_LIMIT_BYTES / 2


def test_a_bottomless_folder_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    here = os.open(tmp_path / "output", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)

    files, _, notes = list_files(tmp_path)
    # Deeper than pytest's own sweep of old folders can go.
    subprocess.run(["rm", "-rf", tmp_path / "output"], check=True)

    assert files == []
    assert len(notes) == 1
    assert "too deep" in notes[0]
