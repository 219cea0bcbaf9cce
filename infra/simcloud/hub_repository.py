"""A repository of the loopback hub: a folder, hashed as git and LFS would hash it."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from infra.simcloud.hub_models import HostedModel

_LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".onnx", ".gguf", ".h5", ".msgpack")


class HubError(Exception):
    """An error in the hub's own words: the client chooses its exception by `code`."""

    def __init__(self, status: HTTPStatus, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message}
        if code:
            self.headers["X-Error-Code"] = code
        if commit:
            self.headers["X-Repo-Commit"] = commit


@dataclass(frozen=True)
class HostedFile:
    """One file of a repository; hashes are worked out when first asked for."""

    name: str
    path: Path
    size_bytes: int

    @property
    def is_lfs(self) -> bool:
        return self.name.endswith(_LFS_SUFFIXES)

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    @cached_property
    def blob_id(self) -> str:
        """What git would call it: of the pointer for a file of LFS."""
        content = self._pointer() if self.is_lfs else self.path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.blob_id

    def entry(self) -> dict[str, object]:
        """As `tree` and `paths-info` list it."""
        entry: dict[str, object] = {
            "type": "file",
            "path": self.name,
            "oid": self.blob_id,
            "size": self.size_bytes,
        }
        if self.is_lfs:
            entry["lfs"] = {"oid": self.sha256, **self._lfs_sizes()}
        return entry

    def sibling(self, *, with_blobs: bool) -> dict[str, object]:
        """As `model_info` lists it."""
        sibling: dict[str, object] = {"rfilename": self.name}
        if with_blobs:
            sibling.update(size=self.size_bytes, blobId=self.blob_id)
            if self.is_lfs:
                sibling["lfs"] = {"sha256": self.sha256, **self._lfs_sizes()}
        return sibling

    def _lfs_sizes(self) -> dict[str, int]:
        return {"size": self.size_bytes, "pointerSize": len(self._pointer())}

    def _pointer(self) -> bytes:
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {self.size_bytes}\n"
        ).encode()


class Repository:
    """A model folder, with the commit that its content amounts to."""

    def __init__(self, model: HostedModel) -> None:
        self.model = model
        self.files = {file.name: file for file in _files(model.folder)}
        self._lock = threading.Lock()
        self._commit = ""

    @property
    def commit(self) -> str:
        with self._lock:
            if not self._commit:
                listed = "".join(f"{file.blob_id} {name}\n" for name, file in self.files.items())
                self._commit = hashlib.sha1(listed.encode()).hexdigest()
            return self._commit

    def check_revision(self, revision: str) -> None:
        if unquote(revision) not in ("main", "refs/heads/main", self.commit):
            raise HubError(
                HTTPStatus.NOT_FOUND, f"Invalid rev id: {revision}", "RevisionNotFound", self.commit
            )

    def info(self, *, with_blobs: bool) -> dict[str, object]:
        """As `model_info` reads it."""
        config = json.loads((self.model.folder / "config.json").read_text())
        return {
            "_id": self.commit[:24],
            "id": self.model.id,
            "modelId": self.model.id,
            "author": self.model.id.split("/")[0],
            "sha": self.commit,
            "private": False,
            "gated": "manual" if self.model.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": ["safetensors"],
            "library_name": "transformers",
            "config": {name: config.get(name) for name in ("architectures", "model_type")},
            "siblings": [file.sibling(with_blobs=with_blobs) for file in self.files.values()],
        }

    def tree(self, folder: str, *, recursive: bool) -> list[dict[str, object]]:
        """Files and folders below `folder`."""
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        listed: dict[str, dict[str, object]] = {}
        for name, file in self.files.items():
            if not name.startswith(prefix):
                continue
            *parents, _ = name.removeprefix(prefix).split("/")
            for depth in range(len(parents) if recursive else min(1, len(parents))):
                path = prefix + "/".join(parents[: depth + 1])
                oid = hashlib.sha1(path.encode()).hexdigest()
                listed[path] = {"type": "directory", "path": path, "oid": oid, "size": 0}
            if recursive or not parents:
                listed[name] = file.entry()
        if prefix and not listed:
            message = f"{folder} does not exist on main"
            raise HubError(HTTPStatus.NOT_FOUND, message, "EntryNotFound", self.commit)
        return list(listed.values())


def _files(folder: Path) -> list[HostedFile]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in found}
    return [HostedFile(name, path, path.stat().st_size) for path, name in names.items()]
