"""Posting a message to the address of the config file, signed as standardwebhooks.com says.

A receiver checks it with any library of that standard: the headers are `webhook-id`,
`webhook-timestamp` and `webhook-signature`, the secret is `whsec_` and base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orchestrator.errors import NotifyError, UsageError

SECRET_NAME = "GPULEASE_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_LEAST_BYTES = 24
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to post, and the key to sign with; `b""` posts unsigned."""

    url: str
    key: bytes = field(default=b"", repr=False)

    def post(self, message_id: str, body: bytes, now_s: float) -> None:
        """Send one message. Raises: NotifyError when it was not accepted (2xx)."""
        import httpx

        headers = {"content-type": "application/json", "user-agent": "gpulease"}
        headers |= self.headers(message_id, body, now_s)
        try:
            with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
                status = client.post(self.url, content=body, headers=headers).status_code
        except httpx.HTTPError as error:
            raise NotifyError(f"the webhook does not answer: {type(error).__name__}") from None
        if not 200 <= status < 300:
            raise NotifyError(f"the webhook answered {status}")

    def headers(self, message_id: str, body: bytes, now_s: float) -> dict[str, str]:
        """What a receiver verifies: id, time, and the signature over both and the body."""
        stamp = str(int(now_s))
        headers = {"webhook-id": message_id, "webhook-timestamp": stamp}
        if self.key:
            signed = f"{message_id}.{stamp}.".encode() + body
            digest = hmac.new(self.key, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers


def make_webhook(url: str, secret: str | None) -> Webhook:
    """The webhook of the config file. Raises: UsageError for what cannot be one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "notify.webhook must be an http:// or https:// address", hint="see the README, Webhook"
        )
    return Webhook(url, to_key(secret) if secret else b"")


def to_key(secret: str) -> bytes:
    """The bytes of a `whsec_…` secret. Raises: UsageError.

    >>> to_key(new_secret()) == to_key(new_secret())
    False
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or len(key) < _LEAST_BYTES:
        raise UsageError(
            f"{SECRET_NAME} must be {_PREFIX} and base64 of at least {_LEAST_BYTES} bytes",
            hint=f"a good one: {new_secret()}",
        )
    return key


def new_secret() -> str:
    """A secret that nobody has yet."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_LEAST_BYTES)).decode()
