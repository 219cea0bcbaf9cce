"""A bucket in memory: as a driver reaches it, and as the agent of a machine fills it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from orchestrator.agent import protocol
from orchestrator.agent.protocol import encode
from orchestrator.artifacts.s3 import S3, Access
from orchestrator.lifecycle.stores import Stores
from tests.artifacts.memory_store import MemoryStore
from tests.crash.life import Life

TO = "s3://results/team"
_KINDS = ("exit", "metrics")  # go whatever was asked for
_CHECKPOINTS_KEPT = 2
File = dict[str, object]
T = TypeVar("T")


@dataclass
class MortalStore:
    """What a process asks of a store, each call between two points; signing asks nobody."""

    inner: MemoryStore
    life: Life

    def put_object(self, **asked: Any) -> object:
        return self._life("put", lambda: self.inner.put_object(**asked))

    def get_object(self, **asked: Any) -> dict[str, object]:
        return self._life("get", lambda: self.inner.get_object(**asked))

    def head_object(self, **asked: Any) -> dict[str, object]:
        return self._life("head", lambda: self.inner.head_object(**asked))

    def delete_object(self, **asked: Any) -> object:
        return self._life("delete", lambda: self.inner.delete_object(**asked))

    def head_bucket(self, **asked: Any) -> dict[str, object]:
        return self._life("look at", lambda: self.inner.head_bucket(**asked))

    def list_objects_v2(self, **asked: str) -> dict[str, object]:
        return self._life("list", lambda: self.inner.list_objects_v2(**asked))

    def generate_presigned_url(
        self,
        ClientMethod: str,  # noqa: N803
        Params: Mapping[str, str],  # noqa: N803
        ExpiresIn: int,  # noqa: N803
    ) -> str:
        return self.inner.generate_presigned_url(ClientMethod, Params, ExpiresIn)

    def _life(self, verb: str, call: Callable[[], T]) -> T:
        return self.life.around(f"{verb} in the bucket", call)


class MortalStores(Stores):
    """The stores of one process; there is one bucket."""

    def __init__(self, store: MemoryStore, life: Life, now_s: Callable[[], float]) -> None:
        super().__init__(lambda _: None, {}, now_s)
        self._s3 = S3(MortalStore(store, life))

    def open(self, access: Access) -> S3:
        return self._s3


def write_signed(store: MemoryStore) -> Callable[[str, bytes], None]:
    """PUT to a signed URL of the store."""

    def write(url: str, data: bytes) -> None:
        store.objects[urlsplit(url).path.lstrip("/")] = data

    return write


@dataclass
class Uploads:
    """What one machine's agent sends, from its files; its slots are read as they come."""

    store: MemoryStore
    files: dict[str, bytes]  # of the machine
    run: dict[str, object]  # the run file
    say: Callable[..., None]  # an event
    _others: dict[str, File] = field(default_factory=dict)
    _sent: dict[str, File] = field(default_factory=dict)
    _saved: list[str] = field(default_factory=list)  # checkpoints that went, the newest last
    _taken: set[str] = field(default_factory=set)

    @property
    def every_s(self) -> float:
        upload = self.run["upload"]
        assert isinstance(upload, dict)
        return float(upload["every_s"])

    def send_what_comes(self, now_s: float, *, checkpoints: bool) -> None:
        """Log and events as far as they are, the newest checkpoint, and the index."""
        if not self._can_write(now_s):
            return
        self._grow()
        newest = self._newest_checkpoint() if checkpoints else ""
        if newest and newest not in self._saved:
            names = [name for name in self.files if name.startswith(f"{newest}/")]
            self._others |= {one: self._put([one])[0] for one in names}
            self._saved.append(newest)
            for old in self._saved[:-_CHECKPOINTS_KEPT]:
                gone = [one for one in self._others if one.startswith(f"{old}/")]
                for name in gone:
                    del self._others[name]
        self._index(now_s, complete=False)

    def send_all(self, now_s: float) -> bool:
        """Every file of the manifest that is kept, and the index that says so; false: refused."""
        if not self._can_write(now_s):
            self.say("upload", state="failing", problem="no answer", done_bytes=0, left_bytes=1)
            return False
        upload = self.run["upload"]
        assert isinstance(upload, dict)
        kinds = (*_KINDS, *upload["keep"])
        manifest = json.loads(self.files[protocol.MANIFEST_FILE])["files"]
        wanted = {one["path"]: one for one in manifest if one["kind"] in kinds}
        for path, sent in zip(wanted, self._put(wanted), strict=True):
            self._sent[path] = {**wanted[path], "parts": sent["parts"]}
        self._grow()
        self._index(now_s, complete=True)
        self.say("upload", state="complete", done_bytes=1, left_bytes=0)
        return True

    def _can_write(self, now_s: float) -> bool:
        return not self.store.down and now_s < float(str(self._slots()["ends_at"]))

    def _slots(self) -> dict[str, object]:
        record = json.loads(self.files[protocol.SLOTS_FILE])
        assert isinstance(record, dict)
        return record

    def _grow(self) -> None:
        for name in (protocol.LOG_FILE, protocol.EVENTS_FILE):
            if name in self.files:
                known = self._others.get(name)
                self._others[name] = self._put([name], _key(known) if known else "")[0]

    def _put(self, names: Iterable[str], key: str = "") -> list[File]:
        """One object of several files; where each of them lies in it."""
        slots = {one["key"]: one["url"] for one in self._slots()["slots"]}  # type: ignore[attr-defined]
        key = key or next(one for one in slots if one not in self._taken)
        self._taken.add(key)
        data, records = b"", []
        for name in names:
            part = {"key": key, "offset": len(data), "size_bytes": len(self.files[name])}
            data += self.files[name]
            records.append({"path": name, "size_bytes": part["size_bytes"], "parts": [part]})
        write_signed(self.store)(slots[key], data)
        return records

    def _index(self, now_s: float, *, complete: bool) -> None:
        record: dict[str, object] = {
            "protocol": protocol.PROTOCOL,
            "run": self.run["run"],
            "label": self.run["label"],
            "at": now_s,
            "complete": complete,
            "files": list(self._sent.values()),
            "others": [one for path, one in self._others.items() if path not in self._sent],
            "changed": [],
        }
        slot = self._slots()["index"]
        assert isinstance(slot, dict)
        write_signed(self.store)(slot["url"], encode(record))

    def _newest_checkpoint(self) -> str:
        complete = [
            name.rpartition("/")[0]
            for name in self.files
            if name.endswith(f"/{protocol.CHECKPOINT_COMPLETE}")
        ]
        return max(complete, key=lambda one: int(one.rpartition("-")[2]), default="")


def stored(store: MemoryStore, sha256: str, size_bytes: int) -> bytes | None:
    """A file's bytes by any machine's index; read by no code of the product."""
    for name, document in store.objects.items():
        if not name.endswith(f"/{protocol.INDEX_FILE}"):
            continue
        folder = name.rpartition("/")[0]
        for one in json.loads(document)["files"]:
            if (one["sha256"], one["size_bytes"]) == (sha256, size_bytes):
                return b"".join(
                    store.objects[f"{folder}/{part['key']}"][part["offset"] :][: part["size_bytes"]]
                    for part in one["parts"]
                )
    return None


def _key(sent: File) -> str:
    parts = sent["parts"]
    assert isinstance(parts, list)
    return str(parts[0]["key"])
