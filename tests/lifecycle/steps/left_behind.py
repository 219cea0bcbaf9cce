"""A bucket in memory, and what the stage's machine sent there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest

from orchestrator.artifacts.bucket import Bucket
from orchestrator.artifacts.s3 import S3
from orchestrator.errors import BucketRefused
from orchestrator.runs.run import Launch
from orchestrator.spec.place import Place
from tests.artifacts.conftest import record_of
from tests.artifacts.memory_store import MemoryStore
from tests.lifecycle.steps.harness import Stage
from tests.runs.samples import launch

FOLDER = Place("results", "team/mine/00")


@dataclass
class LeftBehind:
    """`refused` is raised where somebody wants to reach the store."""

    store: MemoryStore = field(default_factory=MemoryStore)
    refused: BucketRefused | None = None

    def bucket(self) -> Bucket:
        if self.refused is not None:
            raise self.refused
        return Bucket(S3(self.store), FOLDER)

    def sends(
        self,
        files: dict[str, bytes],
        *,
        complete: bool,
        others: dict[str, bytes] | None = None,
        at_s: float = 0.0,
    ) -> None:
        """One object for each file, and the index."""
        listed: dict[str, list[dict[str, object]]] = {"files": [], "others": []}
        for kind, group in (("files", files), ("others", others or {})):
            for path, data in group.items():
                key = f"parts/{len(self.store.objects):05d}"
                self.store.objects[f"results/{FOLDER.key}/{key}"] = data
                part = {"key": key, "offset": 0, "size_bytes": len(data)}
                listed[kind].append({**record_of(path, data), "parts": [part]})
        index = {"protocol": 1, "label": "l", "at": at_s, "complete": complete, **listed}
        self.store.objects[f"results/{FOLDER.key}/index.json"] = json.dumps(index).encode()

    def loses(self, key: str) -> None:
        """Somebody deletes an object."""
        del self.store.objects[f"results/{FOLDER.key}/{key}"]


@pytest.fixture
def left_behind(stage: Stage) -> LeftBehind:
    """The bucket of the stage's run, for every process that drives it."""
    made = LeftBehind()
    stage.world.bucket = lambda _run, _lease: made.bucket()
    return made


def with_bucket() -> Launch:
    """A launch whose results go there."""
    return replace(launch(), bucket="s3://results/team")
