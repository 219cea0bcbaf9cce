"""One machine's folder in a bucket: signed for it, proven, and read as if it were the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.agent import protocol
from orchestrator.artifacts.manifest import DOCUMENT_LIMIT_BYTES
from orchestrator.artifacts.s3 import LONGEST_SIGNED_S, S3
from orchestrator.artifacts.slots import MARGIN_S, slot_count, slots_record
from orchestrator.artifacts.stored import Index, parse_index
from orchestrator.errors import ArtifactsError, BucketRefused
from orchestrator.remote.shell import Reply
from orchestrator.spec.place import Place

_NO_COMMANDS = Reply(127, b"", b"a bucket runs no commands")


@dataclass(frozen=True, slots=True)
class Bucket:
    """The folder of one machine, with the rights of this computer."""

    s3: S3
    place: Place

    def slots(self, expected_bytes: int, *, until_s: float, now_s: float) -> dict[str, object]:
        """SLOTS for the machine. Raises: BucketRefused when they would end before `until_s`."""
        check_lasts(self.s3, until_s, now_s)

        def sign(key: str, seconds: int) -> str:
            return self.s3.sign_put(self.place.below(*key.split("/")), seconds)

        until_s = min(until_s + MARGIN_S, self.s3.credentials_end_s, now_s + LONGEST_SIGNED_S)
        return slots_record(sign, count=slot_count(expected_bytes), until_s=until_s, now_s=now_s)

    def index(self) -> Index | None:
        """What the machine last said is here.

        Raises: BucketDown, BucketRefused, HostileArtifact.
        """
        document = self.s3.get(self.place.below(protocol.INDEX_FILE), DOCUMENT_LIMIT_BYTES)
        return None if document is None else parse_index(document)

    def check(self, index: Index) -> None:
        """Raises: ArtifactsError when an object that the index names is not there, or is short."""
        there = self.s3.sizes(self.place)
        for key, size_bytes in index.needed_bytes().items():
            if there.get(key, -1) < size_bytes:
                raise ArtifactsError(f"{self.place.below(key)} is not whole in the bucket")


def check_lasts(s3: S3, until_s: float, now_s: float) -> None:
    """Raises: BucketRefused when what is signed now would end before `until_s`."""
    if s3.credentials_end_s < until_s:
        left, needed = _span(s3.credentials_end_s - now_s), _span(until_s - now_s)
        raise BucketRefused(
            f"the AWS credentials end in {left}, and the machine may need to write to the bucket "
            f"for {needed}",
            hint="use credentials that last, lower budget.max_duration, or leave artifacts.to out",
        )
    if until_s - now_s > LONGEST_SIGNED_S:
        raise BucketRefused(
            f"the machine may need to write to the bucket for {(until_s - now_s) / 86400:.1f} days,"
            " and S3 lets nobody sign for more than 7",
            hint="lower budget.max_duration, or leave artifacts.to out",
        )


def _span(seconds: float) -> str:
    return f"{max(0.0, seconds) / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class BucketShell:
    """What a machine left in a bucket, in the place of the machine: it can only be read."""

    def __init__(self, bucket: Bucket, index: Index) -> None:
        self._bucket = bucket
        self._index = index

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float = 60.0) -> Reply:
        return _NO_COMMANDS

    def read(self, path: str, offset: int, limit: int) -> bytes:
        if path == protocol.MANIFEST_FILE:
            return self._index.document[offset : offset + limit]
        return b"".join(self.pull(path, offset, offset + limit))

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        raise NotImplementedError

    def push(self, stream: Iterable[bytes]) -> None:
        raise NotImplementedError

    def pull(self, path: str, offset: int, size_bytes: int) -> Iterator[bytes]:
        for part in self._index.parts(path, offset, size_bytes):
            place = self._bucket.place.below(*part.key.split("/"))
            left_bytes = part.size_bytes
            for piece in self._bucket.s3.stream(place, part.offset, part.offset + left_bytes):
                left_bytes -= len(piece)
                yield piece
            if left_bytes:
                return  # as with a machine: a short file ends early

    def close(self) -> None:
        """Nothing is held open."""
