"""What a store does with a signed URL, by the published rules of Signature Version 4.

Written from docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html: moto looks at
neither signature nor expiry.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qsl, quote, urlsplit

from orchestrator.artifacts.bucket import Bucket


def is_good(url: str, secret: str, *, method: str, at_s: float, host: str = "") -> bool:
    """Whether a store that knows the secret takes a request with this URL at this time."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    given = query.pop("X-Amz-Signature", "")
    when = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    seconds = int(query["X-Amz-Expires"])
    if not 0 < seconds <= 7 * 86400 or not 0 <= at_s - when.timestamp() + 60 <= seconds + 60:
        return False
    canonical_query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(query.items())
    )
    assert query["X-Amz-SignedHeaders"] == "host"
    lines = [method, parts.path, canonical_query, f"host:{host or parts.netloc}", "", "host"]
    request = "\n".join([*lines, "UNSIGNED-PAYLOAD"])
    scope = query["X-Amz-Credential"].partition("/")[2]
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest])
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.compare_digest(given, hmac.digest(key, text.encode(), "sha256").hex())


def slots_of(bucket: Bucket, until_s: float) -> dict[str, str]:
    """Key → URL of what a machine gets that may write until then."""
    record = bucket.slots(0, until_s=until_s, now_s=time.time())
    slots = [cast(dict[str, str], record["index"]), *cast(list[dict[str, str]], record["slots"])]
    return {slot["key"]: slot["url"] for slot in slots}
