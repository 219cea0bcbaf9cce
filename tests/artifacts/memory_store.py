"""An S3 client in memory, with rights that can be taken away."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import (  # type: ignore[import-untyped]
    ClientError,
    EndpointConnectionError,
)


@dataclass
class MemoryStore:
    """Objects by bucket and key; `denies` names operations, `down` breaks every call."""

    objects: dict[str, bytes] = field(default_factory=dict)
    denies: dict[str, str] = field(default_factory=dict)  # operation → error code
    down: bool = False
    status: int = 403
    page: int = 2

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object:  # noqa: N803
        self._check("PutObject")
        self.objects[f"{Bucket}/{Key}"] = Body
        return {}

    def get_object(self, *, Bucket: str, Key: str, Range: str = "") -> dict[str, object]:  # noqa: N803
        self._check("GetObject")
        data = self._find(Bucket, Key, "NoSuchKey")
        if Range:
            start, end = (int(number) for number in Range.removeprefix("bytes=").split("-"))
            if start >= len(data):
                raise error_of("InvalidRange", 416)
            data = data[start : end + 1]
        return {"Body": io.BytesIO(data)}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, object]:  # noqa: N803
        self._check("HeadObject")
        data = self._find(Bucket, Key, "404")
        return {"ContentLength": len(data), "ETag": hashlib.md5(data).hexdigest()}

    def head_bucket(self, *, Bucket: str) -> dict[str, object]:  # noqa: N803
        self._check("HeadBucket")
        return {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "eu-west-1"}}}

    def delete_object(self, *, Bucket: str, Key: str) -> object:  # noqa: N803
        self._check("DeleteObject")
        self.objects.pop(f"{Bucket}/{Key}", None)
        return {}

    def list_objects_v2(self, **parameters: str) -> dict[str, object]:
        self._check("ListObjectsV2")
        bucket, prefix = parameters["Bucket"], parameters.get("Prefix", "")
        names = sorted(one.removeprefix(f"{bucket}/") for one in self.objects)
        keys = [key for key in names if key.startswith(prefix)]
        start = int(parameters.get("ContinuationToken", "0"))
        shown = keys[start : start + self.page]
        found = [{"Key": key, "Size": len(self.objects[f"{bucket}/{key}"])} for key in shown]
        more = start + self.page < len(keys)
        token = {"NextContinuationToken": str(start + self.page)} if more else {}
        return {"Contents": found, "IsTruncated": more, **token}

    def generate_presigned_url(
        self,
        ClientMethod: str,  # noqa: N803
        Params: Mapping[str, str],  # noqa: N803
        ExpiresIn: int,  # noqa: N803
    ) -> str:
        return f"https://store/{Params['Bucket']}/{Params['Key']}?{ClientMethod}&{ExpiresIn}"

    def _find(self, bucket: str, key: str, code: str) -> bytes:
        try:
            return self.objects[f"{bucket}/{key}"]
        except KeyError:
            raise error_of(code, 404) from None

    def _check(self, operation: str) -> None:
        if self.down:
            raise EndpointConnectionError(endpoint_url="https://store/?X-Amz-Signature=secret")
        if operation in self.denies:
            raise error_of(self.denies[operation], self.status)


def error_of(code: str, status: int) -> ClientError:
    facts = {"HTTPStatusCode": status, "HTTPHeaders": {"x-amz-bucket-region": "eu-west-1"}}
    response = {"Error": {"Code": code, "Message": "…"}, "ResponseMetadata": facts}
    return ClientError(response, "Operation")
