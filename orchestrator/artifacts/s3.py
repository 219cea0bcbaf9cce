"""Object storage that speaks S3: every call here ends with an answer or with one of our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Protocol, cast

from orchestrator.errors import BucketDown, BucketRefused
from orchestrator.remote.paths import shown
from orchestrator.spec.place import Place

LONGEST_SIGNED_S = 7 * 24 * 3600  # Signature Version 4 allows no more
CREDENTIAL_NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
)
_BLOCK_BYTES = 1 << 20
_FOREVER_S = float("inf")
_SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "ExpiredToken")
_GONE = ("NoSuchKey", "404", "NotFound")


@dataclass(frozen=True, slots=True)
class Access:
    """How a store is reached; what is empty is left to the AWS settings of this computer."""

    endpoint: str = ""
    region: str = ""
    profile: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


class Client(Protocol):
    """The part of boto3's S3 client that is used."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object: ...  # noqa: N803
    def get_object(self, *, Bucket: str, Key: str, Range: str = "") -> dict[str, object]: ...  # noqa: N803
    def head_object(self, *, Bucket: str, Key: str) -> dict[str, object]: ...  # noqa: N803
    def delete_object(self, *, Bucket: str, Key: str) -> object: ...  # noqa: N803
    def head_bucket(self, *, Bucket: str) -> dict[str, object]: ...  # noqa: N803
    def list_objects_v2(self, **parameters: str) -> dict[str, object]: ...
    def generate_presigned_url(
        self,
        ClientMethod: str,  # noqa: N803
        Params: Mapping[str, str],  # noqa: N803
        ExpiresIn: int,  # noqa: N803
    ) -> str: ...


class S3:
    """One store, with the rights of one set of credentials."""

    def __init__(self, client: Client, end_s: Callable[[], float] = lambda: _FOREVER_S) -> None:
        """`end_s` says when the credentials of this moment end."""
        self._client = client
        self._end_s = end_s

    @property
    def credentials_end_s(self) -> float:
        """When what is signed now loses its worth, whatever the URL says."""
        with _answers(None):
            return self._end_s()

    def put(self, place: Place, data: bytes) -> None:
        """Write an object. Raises: BucketRefused, BucketDown, as all calls do."""
        with _answers(place):
            self._client.put_object(Bucket=place.bucket, Key=place.key, Body=data)

    def facts(self, place: Place) -> tuple[int, str] | None:
        """Size of an object and the tag of its content; None when there is none."""
        with _answers(place, absent=True):
            found = self._client.head_object(Bucket=place.bucket, Key=place.key)
            return _whole(found.get("ContentLength")), str(found.get("ETag", ""))
        return None

    def get(self, place: Place, limit_bytes: int) -> bytes | None:
        """A small object, None when there is none. Raises: BucketRefused when it is longer."""
        data = bytearray()
        with _answers(place, absent=True):
            answer = self._client.get_object(Bucket=place.bucket, Key=place.key)
            with contextlib.closing(cast(IO[bytes], answer["Body"])) as body:
                while len(data) <= limit_bytes and (piece := body.read(_BLOCK_BYTES)):
                    data += piece
            if len(data) > limit_bytes:
                raise BucketRefused(f"{shown(str(place))} is absurdly long")
            return bytes(data)
        return None

    def stream(self, place: Place, start: int, end: int) -> Iterator[bytes]:
        """Bytes `start` to `end` of an object; fewer when it is shorter or absent."""
        if end <= start:
            return
        answer: dict[str, object] = {}
        with _answers(place, absent=True, empty="InvalidRange"):
            asked = f"bytes={start}-{end - 1}"
            answer = self._client.get_object(Bucket=place.bucket, Key=place.key, Range=asked)
        if not answer:
            return
        left_bytes = end - start
        with _answers(place), contextlib.closing(cast(IO[bytes], answer["Body"])) as body:
            while left_bytes and (piece := body.read(min(_BLOCK_BYTES, left_bytes))):
                left_bytes -= len(piece)
                yield piece

    def delete(self, place: Place) -> None:
        with _answers(place):
            self._client.delete_object(Bucket=place.bucket, Key=place.key)

    def sizes(self, place: Place) -> dict[str, int]:
        """Key below `place` → bytes, of every object there."""
        found: dict[str, int] = {}
        asked = {"Bucket": place.bucket, "Prefix": f"{place.key}/" if place.key else ""}
        while True:
            with _answers(place):
                answer = self._client.list_objects_v2(**asked)
            for entry in cast(list[dict[str, object]], answer.get("Contents", [])):
                key = str(entry["Key"]).removeprefix(asked["Prefix"])
                found[key] = _whole(entry.get("Size"))
            token = answer.get("NextContinuationToken")
            if not answer.get("IsTruncated") or not isinstance(token, str):
                return found
            asked["ContinuationToken"] = token

    def sign_put(self, place: Place, seconds: int) -> str:
        """A URL with which anybody may write this one object, for so long. It is a secret."""
        parameters = {"Bucket": place.bucket, "Key": place.key}
        with _answers(place):
            return self._client.generate_presigned_url("put_object", parameters, seconds)

    def region(self, place: Place) -> str:
        """Where the bucket is, as far as its store says so; a URL signed for elsewhere is refused.

        Raises: BucketRefused when there is no such bucket, BucketDown.
        """
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        with _answers(Place(place.bucket)):
            try:
                response = self._client.head_bucket(Bucket=place.bucket)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("404", "NoSuchBucket"):
                    raise
                response = error.response
        facts = response.get("ResponseMetadata")
        headers = facts.get("HTTPHeaders") if isinstance(facts, dict) else None
        found = headers.get("x-amz-bucket-region") if isinstance(headers, dict) else None
        return found if isinstance(found, str) else ""


def open_s3(access: Access, *, now_s: Callable[[], float]) -> S3:
    """Raises: BucketRefused when no credentials can be found, or nobody can say when they end."""
    from boto3.session import Session  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    given = access.credentials
    if given and not given.get("AWS_SECRET_ACCESS_KEY"):
        raise BucketRefused(
            "the AWS credentials are half: AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY",
            hint="give both, or neither and a profile",
        )
    with _answers(None):
        session = Session(
            aws_access_key_id=given.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=given.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=given.get("AWS_SESSION_TOKEN"),
            region_name=access.region or None,
            profile_name=None if given else access.profile or None,
        )
        found = session.get_credentials()
        if found is None:
            raise BucketRefused(
                "s3:// needs AWS credentials, and there are none",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            )
        config = Config(
            signature_version="s3v4",
            # A call ends long before the time that is kept for a machine's return.
            connect_timeout=5,
            read_timeout=20,
            retries={"mode": "standard", "max_attempts": 2},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = session.client(
            "s3",
            endpoint_url=access.endpoint or None,
            region_name=session.region_name or "us-east-1",
            config=config,
        )

    def end_s() -> float:
        token = found.get_frozen_credentials().token  # renews those that can be renewed
        expiry = getattr(found, "_expiry_time", None)
        return _end_s(token, expiry, given.get("AWS_CREDENTIAL_EXPIRATION", ""))

    store = S3(cast(Client, client), end_s)
    if store.credentials_end_s <= now_s():
        raise BucketRefused("the AWS credentials have ended", hint="make new ones")
    return store


def _end_s(token: object, expiry: object, said: str) -> float:
    """When temporary credentials end; others never do."""
    if not token:
        return _FOREVER_S
    if isinstance(expiry, datetime):
        return expiry.timestamp()
    try:
        when = datetime.fromisoformat(said)
    except ValueError as error:
        raise BucketRefused(
            "the AWS credentials are temporary (AWS_SESSION_TOKEN), and do not say when they end",
            hint="use a profile, or set what `aws configure export-credentials --format env` says",
        ) from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


@contextlib.contextmanager
def _answers(place: Place | None, *, absent: bool = False, empty: str = "") -> Iterator[None]:
    """Turn botocore's errors into ours. With `absent`, a missing object ends the block quietly.

    The words are ours or short codes: an error of a lower layer may hold a signed URL.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = str(place) if place else "the store"
    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        code = str(details.get("Code", ""))
        if (absent and code in _GONE) or (empty and code == empty):
            return
        raise _refusal(where, code, error.response) from None
    except BotoCoreError as error:
        name = type(error).__name__
        if "Credential" in name or "Token" in name or "Profile" in name:
            words = f"the AWS credentials cannot be used ({name})"
            raise BucketRefused(words, hint="aws sts get-caller-identity says more") from None
        raise BucketDown(f"{where} does not answer ({name})") from None
    except OSError as error:
        raise BucketDown(f"{where} does not answer ({type(error).__name__})") from None


def _refusal(where: str, code: str, response: Mapping[str, object]) -> BucketRefused | BucketDown:
    facts = response.get("ResponseMetadata")
    status = facts.get("HTTPStatusCode") if isinstance(facts, dict) else None
    if isinstance(status, int) and (status >= 500 or status == 429):
        return BucketDown(f"{where} answers {status} {shown(code, 60)}")
    if code in _SKEWED:
        hint = "is this computer's clock right? Else make new credentials"
        return BucketRefused(f"{where}: the time of the request is refused ({code})", hint=hint)
    if code in ("NoSuchBucket", "404"):
        return BucketRefused(
            f"{where}: there is no such bucket", hint="make it, or correct the name"
        )
    if code in ("AccessDenied", "403", "Forbidden"):
        hint = "they need s3:PutObject, s3:GetObject, s3:DeleteObject and s3:ListBucket there"
        return BucketRefused(f"{where}: these credentials may not do that", hint=hint)
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"):
        return BucketRefused(f"{where}: the credentials are refused ({code})", hint="correct them")
    return BucketRefused(f"{where} answers {status} {shown(code, 60)}")


def _whole(value: object) -> int:
    return value if isinstance(value, int) else -1
