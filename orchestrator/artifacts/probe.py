"""Whether a bucket can do all that a run needs of it: tried before anything is rented."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from orchestrator.artifacts.s3 import S3
from orchestrator.errors import BucketDown, BucketRefused
from orchestrator.spec.place import Place

_FIRST = b"gpulease looks whether it may write here\n"
_SECOND = b"gpulease looks whether a machine may write here\n"
_SIGNED_S = 3600  # as seen by a store whose clock may be 15 minutes ahead
_TIMEOUT_S = 20.0
_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,60})</Code>")


def write_signed(url: str, data: bytes) -> None:
    """PUT to a signed URL, as the machine does. No error holds the URL.

    Raises: BucketRefused, BucketDown.
    """
    import httpx

    headers = {"Content-Type": "application/octet-stream"}
    try:
        answer = httpx.put(url, content=data, headers=headers, timeout=_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise BucketDown(f"no answer ({type(error).__name__})") from None
    if answer.is_success:
        return
    found = _CODE.search(answer.content[:16384])
    said = f"{answer.status_code} {found.group(1).decode() if found else ''}".strip()
    if answer.status_code >= 500 or answer.status_code == 429:
        raise BucketDown(f"the answer is {said}")
    raise BucketRefused(
        f"the answer is {said}",
        hint="such URLs are all that a machine gets; is this computer's clock right?",
    )


def probe(
    s3: S3, place: Place, name: str, *, write: Callable[[str, bytes], None] = write_signed
) -> None:
    """Write, read, list, write by a signed URL, and delete a tiny object below `place`.

    Raises: BucketRefused, which says what of this may not be done; BucketDown.
    """
    tried = place.below(f".gpulease-probe-{name}")
    with _doing("written"):
        s3.put(tried, _FIRST)
    try:
        with _doing("read"):
            _read(s3, tried, _FIRST)
        with _doing("listed"):
            s3.sizes(tried)
        with _doing("written by a signed URL"):
            write(s3.sign_put(tried, _SIGNED_S), _SECOND)
            _read(s3, tried, _SECOND)
    except (BucketRefused, BucketDown):
        with contextlib.suppress(BucketRefused, BucketDown):
            s3.delete(tried)
        raise
    with _doing("deleted"):
        s3.delete(tried)


def _read(s3: S3, place: Place, expected: bytes) -> None:
    if s3.get(place, 1024) != expected:
        raise BucketRefused(f"{place} gave back something else than was written")


@contextlib.contextmanager
def _doing(done: str) -> Iterator[None]:
    problem = f"a test object cannot be {done}"
    try:
        yield
    except BucketRefused as error:
        raise BucketRefused(f"{problem}: {error.problem}", hint=error.hint) from error
    except BucketDown as error:
        raise BucketDown(f"{problem}: {error.problem}", hint=error.hint) from error
