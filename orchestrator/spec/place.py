"""Where in object storage something lies: `s3://bucket/prefix`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from orchestrator.spec.section import wrong

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX_LIMIT = 512


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key or the beginning of keys, without a slash at either end."""

    bucket: str
    key: str = ""

    def below(self, *names: str) -> Place:
        """The place of `names` below this one."""
        return Place(self.bucket, "/".join([*([self.key] if self.key else []), *names]))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")


def parse_place(text: str) -> Place:
    """The place that a text names. Raises ValueError, in words that follow the text.

    >>> parse_place("s3://results/team/").key
    'team'
    """
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError("must be s3://bucket or s3://bucket/prefix")
    key = key.strip("/")
    if len(key) > _PREFIX_LIMIT or not key.isprintable() or not key.isascii():
        raise ValueError(f"has a prefix that is not at most {_PREFIX_LIMIT} plain characters")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        raise ValueError("has a prefix with an empty part, `.` or `..`")
    return Place(bucket, key)


def _check(text: str) -> str:
    try:
        return str(parse_place(text))
    except ValueError as error:
        raise wrong(str(error)) from error


Target = Annotated[
    str, AfterValidator(_check), WithJsonSchema({"type": "string", "pattern": "^s3://"})
]
