from __future__ import annotations

import json
from pathlib import Path

from orchestrator.agent.checkpoints import Checkpoint, complete_checkpoints


def test_only_complete_folders_count_by_their_step(tmp_path: Path) -> None:
    for name, complete in {
        "step-9": {"step": 9, "files": [{"path": "x", "size_bytes": 5}, {"path": "y"}, 3]},
        "step-10": {"step": 10},
        "step-11": None,
        "odd": {"step": "twelve"},
    }.items():
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        if complete is not None:
            (folder / "complete.json").write_text(json.dumps(complete))
    (tmp_path / "checkpoints" / "link").symlink_to(tmp_path / "checkpoints" / "step-9")

    assert complete_checkpoints(tmp_path) == [
        Checkpoint(9, "checkpoints/step-9", 5),
        Checkpoint(10, "checkpoints/step-10", 0),
    ]


def test_no_folder_has_no_checkpoints(tmp_path: Path) -> None:
    assert complete_checkpoints(tmp_path) == []
