"""Checkpoints on disk: a folder counts only when `complete.json` vouches for all of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMPLETE = "complete.json"
RUN = "run.json"
_WRITING = ".writing"
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The `step-N` folders of one run, the two newest kept."""

    folder: Path
    fingerprint: str  # of the settings; a checkpoint of other settings is never resumed

    @property
    def writing(self) -> Path:
        """Where the trainer writes; nobody else looks there."""
        return self.folder / _WRITING

    def newest(self) -> Path | None:
        """The newest complete checkpoint of these very settings; what cannot be used is removed.

        Left in place it would pass for the newest one of this run.
        """
        self._clear_writing()
        for path in reversed(self._steps()):
            problem = self._problem(path)
            if not problem:
                self._drop_old()  # whoever saved it may have been killed in doing so
                return path
            print(f"{path.name} is not used: {problem}", flush=True)
            shutil.rmtree(path, ignore_errors=True)
        return None

    def finish(self, written: Path, step: int, counts: Mapping[str, float] | None = None) -> Path:
        """Turn what the trainer wrote into `step-N`, and drop what is too old.

        Args:
            counts: figures that go on from here after a resume; `counts_of` gives them back.
        """
        run = {"fingerprint": self.fingerprint, "counts": dict(counts or {})}
        (written / RUN).write_text(json.dumps(run))
        files = [_described(path, written) for path in sorted(written.rglob("*")) if path.is_file()]
        record = {"step": step, "at": time.time(), "files": files}
        temporary = written / f"{COMPLETE}.writing"
        with temporary.open("w") as handle:
            json.dump(record, handle)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.rename(written / COMPLETE)
        target = self.folder / f"step-{step}"
        shutil.rmtree(target, ignore_errors=True)
        written.rename(target)
        self._clear_writing()
        self._drop_old()
        return target

    @staticmethod
    def counts_of(path: Path) -> dict[str, float]:
        """The figures that `finish` was given."""
        counts: dict[str, float] = json.loads((path / RUN).read_text())["counts"]
        return counts

    def _drop_old(self) -> None:
        for path in self._steps()[:-_KEPT]:
            shutil.rmtree(path, ignore_errors=True)

    def _clear_writing(self) -> None:
        shutil.rmtree(self.writing, ignore_errors=True)

    def _steps(self) -> list[Path]:
        found = [path for path in self.folder.glob("step-*") if path.name[5:].isdecimal()]
        return sorted(found, key=lambda path: int(path.name[5:]))

    def _problem(self, path: Path) -> str:
        """Why this checkpoint cannot be resumed, or nothing."""
        try:
            record = json.loads((path / COMPLETE).read_text())
            for file in record["files"]:
                if _described(path / file["path"], path) != file:
                    return f"{file['path']} is not what was written"
            run = json.loads((path / RUN).read_text())
        except FileNotFoundError as error:
            return f"{Path(str(error.filename)).name} is missing"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"it cannot be read ({error})"
        if run.get("fingerprint") != self.fingerprint:
            return "it was made with other settings or data"
        return ""


def _described(path: Path, root: Path) -> dict[str, str | int]:
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {
        "path": path.relative_to(root).as_posix(),
        "size_bytes": path.stat().st_size,
        "sha256": digest,
    }
