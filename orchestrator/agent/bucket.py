"""What goes to the bucket, and when: log and events as they come, checkpoints, then all the rest.

The index is written last each time, and names only what lies there already. Keys that it does not
name any more are used again, so that a long run needs no more of them than a short one.
"""

from __future__ import annotations

import stat
import threading
import traceback
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

from . import protocol
from .checkpoints import complete_checkpoints
from .clock import Clock
from .manifest import list_files
from .records import Events, Record, read_record, write_record
from .runfile import RunFile
from .slots import Slots
from .upload import Piece, UploadFailed, put, sha256_of

_PART_OF_LOG_BYTES = 16 << 20  # its last part is sent again each time, until it is full
_EVENTS_BYTES = 64 << 20
_CHECKPOINTS_KEPT = 2
_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0)
_INDEX_EVERY_S = 30.0
_TELL_EVERY_S = 5.0
_TRIES_TOLD = 3
_ALWAYS_KEPT = ("exit", "metrics")

Parts = List[Record]
Sized = Tuple[str, int]


class NotThere(Exception):
    """What was to be sent has changed or is gone."""


class BucketCopy:
    """Keeps the bucket like the work folder. Its own thread; raises nothing."""

    def __init__(
        self, work: Path, run: RunFile, clock: Clock, events: Events, job_over: threading.Event
    ) -> None:
        self._work = work
        self._run = run
        self._clock = clock
        self._events = events
        self._job_over = job_over
        self._slots = Slots(work)
        self._others: dict[str, Record] = {}
        self._files: dict[str, Record] = {}
        self._changed: list[str] = []  # listed in the manifest, and no longer as listed
        self._left: list[Record] = []  # too many for the manifest, of the kinds that are kept
        self._hashes: dict[str, str] = {}
        self._checkpoints: list[str] = []  # newest last
        self._checkpoint_s = clock.elapsed_s()
        self._indexed: set[str] = set()  # keys that the index in the bucket names
        self._index_s = 0.0
        self._is_failing = False
        self._told_s = 0.0
        self._done_bytes = self._left_bytes = 0
        self._stop = threading.Event()
        self.moved_s = 0.0  # elapsed seconds of the last bytes that went, and were taken
        self.complete_s: float | None = None  # since when everything is there
        self._remember()

    def start(self) -> None:
        threading.Thread(target=self._live, name="bucket", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    def _live(self) -> None:
        upload = self._run.upload
        assert upload is not None
        while not self._job_over.is_set():
            self._job_over.wait(upload.every_s)
            if not self._job_over.is_set():
                self._safely(self._send_what_comes)
        while not self._stop.is_set() and self.complete_s is None:
            self._safely(self._send_all)
            self._stop.wait(0.0 if self.complete_s is not None else _PAUSES_S[-1])

    def _safely(self, step: Callable[[], None]) -> None:
        try:
            step()
            return
        except NotThere:
            pass  # with the next look it is what it is then
        except UploadFailed as error:
            self._tell("failing", problem=str(error))
        except Exception:  # whatever it was: the other files shall still go
            traceback.print_exc()
        self._slots.keep(self._keys() | self._indexed)  # what the failed try had taken is free

    def _send_what_comes(self) -> None:
        grown = self._send_growing()
        due = self._clock.elapsed_s() - self._checkpoint_s >= self._run.checkpoints_every_s * 0.5
        if due and self._send_newest_checkpoint():
            self._checkpoint_s = self._clock.elapsed_s()
            grown = True
        if grown:
            self._send_index(complete=False)

    def _send_growing(self) -> bool:
        """Log and events, as far as they are new; whether anything was."""
        grown = self._grow(protocol.LOG_FILE, 1 << 62)
        return self._grow(protocol.EVENTS_FILE, _EVENTS_BYTES) or grown

    def _grow(self, path: str, limit_bytes: int) -> bool:
        try:
            size_bytes = min((self._work / path).stat().st_size, limit_bytes)
        except OSError:
            return False
        parts = _parts(self._others.get(path))
        done_bytes = sum(_size(part) for part in parts)
        if size_bytes <= done_bytes:
            return False
        if parts and _size(parts[-1]) < _PART_OF_LOG_BYTES:
            done_bytes -= _size(parts[-1])
            key = str(parts.pop()["key"])
        else:
            key = self._take()
        while done_bytes < size_bytes:
            count = min(_PART_OF_LOG_BYTES, size_bytes - done_bytes)
            self._put(key, [Piece(path, done_bytes, count)])
            parts.append({"key": key, "offset": 0, "size_bytes": count})
            done_bytes += count
            self._others[path] = {"path": path, "size_bytes": done_bytes, "parts": list(parts)}
            if done_bytes < size_bytes:
                key = self._take()
        return True

    def _send_newest_checkpoint(self) -> bool:
        """Whether a checkpoint went that was not there; the two newest stay."""
        newest = max(complete_checkpoints(self._work), key=lambda one: one.step, default=None)
        if newest is None or newest.path in self._checkpoints:
            return False
        complete = f"{newest.path}/{protocol.CHECKPOINT_COMPLETE}"
        record = read_record(self._work / complete) or {}
        files = record.get("files")
        named = [one for one in files if isinstance(one, dict)] if isinstance(files, list) else []
        wanted = [f"{newest.path}/{one.get('path')}" for one in named]
        sized = [self._hash(path) for path in [*wanted, complete]]
        sent: dict[str, Record] = {}
        for path, parts in self._send_files(sized):
            size_bytes = sum(_size(part) for part in parts)
            sent[path] = {"path": path, "size_bytes": size_bytes, "parts": parts}
        self._others.update(sent)  # all of it, or nothing: the program may remove it meanwhile
        self._checkpoints.append(newest.path)
        for old in self._checkpoints[:-_CHECKPOINTS_KEPT]:
            for path in [path for path in self._others if path.startswith(f"{old}/")]:
                del self._others[path]
        del self._checkpoints[:-_CHECKPOINTS_KEPT]
        return True

    def _hash(self, path: str) -> Sized:
        if not _is_plain(path):
            raise NotThere(path)
        try:
            size_bytes, self._hashes[path] = sha256_of(self._work, path)
        except OSError as error:
            raise NotThere(path) from error
        return path, size_bytes

    def _send_all(self) -> None:
        """Every file of the manifest that is to be kept; then the index that says so."""
        self._slots.look()
        self._send_growing()
        wanted = self._wanted()
        missing: list[Sized] = []
        self._changed = []
        for path, file in wanted.items():
            if path in self._files:
                continue
            sent = self._others.get(path)
            same = self._hashes.get(path) == file["sha256"] or path == protocol.LOG_FILE
            if sent is not None and same and sent["size_bytes"] == file["size_bytes"]:
                self._files[path] = {**file, "parts": sent["parts"]}
            elif self._is_as_listed(path, _size(file)):
                missing.append((path, _size(file)))
            else:
                self._changed.append(path)
        self._left_bytes = sum(size_bytes for _, size_bytes in missing)
        self._done_bytes = 0
        self._tell("sending")
        for path, parts in self._send_files(missing):
            self._files[path] = {**wanted[path], "parts": parts}
            if self._clock.elapsed_s() - self._index_s >= _INDEX_EVERY_S:
                self._send_index(complete=False)
        self._send_growing()
        self._send_index(complete=True)
        self.complete_s = self._clock.elapsed_s()
        self._tell("complete")

    def _is_as_listed(self, path: str, size_bytes: int) -> bool:
        """Whether a file is as long as the manifest says; one that is not holds up no other."""
        try:
            found = (self._work / path).lstat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes

    def _wanted(self) -> dict[str, Record]:
        upload = self._run.upload
        assert upload is not None
        path = self._work / protocol.MANIFEST_FILE
        manifest = read_record(path, protocol.LIST_LIMIT_BYTES) or {}
        files, left = manifest.get("files"), manifest.get("left")
        if not isinstance(files, list):
            # The job's thread failed before it wrote one.
            files, left, _ = list_files(self._work)
        kinds = (*_ALWAYS_KEPT, *upload.keep)
        found = [one for one in left if isinstance(one, dict)] if isinstance(left, list) else []
        self._left = [one for one in found if one.get("kind") in kinds]
        found = [file for file in files if isinstance(file, dict) and file.get("kind") in kinds]
        return {str(file["path"]): file for file in found}

    def _send_files(self, files: list[Sized]) -> Iterator[tuple[str, Parts]]:
        """Send files, small ones together; each with its parts once all of it is there."""
        part_bytes = self._slots.part_bytes(sum(size_bytes for _, size_bytes in files))
        group: list[Sized] = []
        for path, size_bytes in files:
            if group and sum(size for _, size in group) + size_bytes > part_bytes:
                yield from self._send_group(group)
                group = []
            if size_bytes > part_bytes:
                yield path, self._send_large(path, size_bytes, part_bytes)
            else:
                group.append((path, size_bytes))
        if group:
            yield from self._send_group(group)

    def _send_group(self, group: list[Sized]) -> Iterator[tuple[str, Parts]]:
        key = self._take()
        self._put(key, [Piece(path, 0, size_bytes) for path, size_bytes in group])
        offset = 0
        for path, size_bytes in group:
            yield path, [{"key": key, "offset": offset, "size_bytes": size_bytes}]
            offset += size_bytes

    def _send_large(self, path: str, size_bytes: int, part_bytes: int) -> Parts:
        parts: Parts = []
        for offset in range(0, size_bytes, part_bytes):
            key, count = self._take(), min(part_bytes, size_bytes - offset)
            self._put(key, [Piece(path, offset, count)])
            parts.append({"key": key, "offset": 0, "size_bytes": count})
        return parts

    def _take(self) -> str:
        key = self._slots.take()
        if key is None and self._slots.look():
            key = self._slots.take()
        if key is None:
            raise UploadFailed("no free slot is left", refused=True)
        return key

    def _keys(self) -> set[str]:
        records = [*self._others.values(), *self._files.values()]
        return {str(part["key"]) for record in records for part in _parts(record)}

    def _put(self, key: str, pieces: list[Piece]) -> None:
        """Send one object, as often as it takes. Raises: NotThere, UploadFailed."""
        for tries in range(1 << 30):
            if self._stop.is_set():
                raise UploadFailed("it is to end")
            url = self._slots.index_url if key == protocol.INDEX_FILE else self._slots.url(key)
            done_bytes = self._done_bytes
            try:
                put(url, self._work, pieces, on_bytes=self._on_bytes)
            except OSError as error:
                raise NotThere(str(error)) from error
            except UploadFailed as error:
                self._done_bytes = done_bytes
                if tries + 1 >= _TRIES_TOLD:
                    self._tell("failing", problem=str(error))
                if error.refused and tries + 1 >= _TRIES_TOLD and not self._job_over.is_set():
                    raise  # later, perhaps with another URL; what else comes is not held up
                self._pause(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            else:
                self.moved_s = self._clock.elapsed_s()
                if self._is_failing:
                    self._tell("sending")
                return

    def _pause(self, seconds: float) -> None:
        """Wait, at most until new slots come."""
        for _ in range(int(seconds)):
            if self._stop.wait(1.0) or self._slots.look():
                return

    def _send_index(self, *, complete: bool) -> None:
        others = [one for path, one in self._others.items() if path not in self._files]
        record: Record = {
            "protocol": protocol.PROTOCOL,
            "run": self._run.run,
            "label": self._run.label,
            "at": self._clock.now_s(),
            "complete": complete,
            "files": list(self._files.values()),
            "others": others,
            "changed": self._changed,
            "left": self._left,
        }
        try:
            write_record(self._work / protocol.INDEX_FILE, record)
            size_bytes = (self._work / protocol.INDEX_FILE).stat().st_size
        except OSError as error:
            raise UploadFailed(f"the index cannot be written here: {error.strerror}") from error
        self._put(protocol.INDEX_FILE, [Piece(protocol.INDEX_FILE, 0, size_bytes)])
        self._indexed = self._keys()
        self._slots.keep(self._indexed)
        self._index_s = self._clock.elapsed_s()

    def _on_bytes(self, count: int) -> None:
        self._done_bytes += count
        if self._is_failing:
            return  # a bucket that refuses all that it is sent keeps no machine alive
        self.moved_s = self._clock.elapsed_s()
        if self._job_over.is_set() and self.moved_s - self._told_s >= _TELL_EVERY_S:
            self._tell("sending")

    def _tell(self, state: str, **fields: object) -> None:
        self._told_s = self._clock.elapsed_s()
        self._is_failing = state == "failing"
        left_bytes = max(0, self._left_bytes - self._done_bytes)
        sizes = {"done_bytes": self._done_bytes, "left_bytes": left_bytes}
        self._events.add("upload", state=state, **sizes, **fields)

    def _remember(self) -> None:
        """What an earlier agent of this folder had sent lies there still."""
        path = self._work / protocol.INDEX_FILE
        record = read_record(path, protocol.LIST_LIMIT_BYTES) or {}
        others = record.get("others")
        for each in others if isinstance(others, list) else []:
            if isinstance(each, dict) and isinstance(each.get("path"), str):
                self._others[str(each["path"])] = each
        self._indexed = self._keys()
        self._slots.keep(self._indexed)


def _parts(record: Record | None) -> Parts:
    found = record.get("parts") if record else None
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _size(record: Record) -> int:
    size_bytes = record.get("size_bytes")
    return size_bytes if isinstance(size_bytes, int) else 0


def _is_plain(path: str) -> bool:
    return "\0" not in path and not any(part in ("", ".", "..") for part in path.split("/"))
