"""What is sent to Vast.ai to rent an instance. Pure."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.providers.base import MachineRequest
from orchestrator.providers.fields import to_gb

# onstart: 4048, 4096 with the arguments, or 16 KB: three sources. What is not sure stays below.
ONSTART_LIMIT_BYTES = 4000
_LEAST_DISK_GB = 8
_SSH_PORT = 22  # mapped by itself


def to_create_body(request: MachineRequest) -> dict[str, Any]:
    """The body of PUT /asks/{id}/: only documented keys, and every one that has a doubtful default.

    Whether it is a bid depends on `price` alone, not on the search that found the offer: null is
    on-demand. So a price is sent only where both the offer and the request say the same bid.

    Raises: InvalidRequest where they differ, or for a start command that is too long.
    """
    bid_usd = request.bid_usd_per_hour
    offered = request.offer.bid
    if bid_usd != (None if offered is None else offered.usd_per_hour):
        raise InvalidRequest("a bid needs an offer for bids, and such an offer needs a bid")
    if len(request.start_command.encode()) > ONSTART_LIMIT_BYTES:
        raise InvalidRequest(f"the start command is over {ONSTART_LIMIT_BYTES} bytes")
    ports = {f"-p {port}:{port}": "1" for port in request.ports if port != _SSH_PORT}
    return {
        "client_id": "me",
        "image": with_tag(request.image),
        "disk": max(_LEAST_DISK_GB, to_gb(request.disk_gib)),
        "price": None if bid_usd is None else float(bid_usd),
        "label": request.label,
        "runtype": "ssh_direct",
        # An object: the text of docker flags that OpenAPI describes was reported to fail.
        "env": {**request.environment, "PUBLIC_KEY": request.public_key, **ports},
        "onstart": request.start_command,
        # Else what cannot start stays as a stopped instance, whose disk is billed.
        "cancel_unavail": True,
        "target_state": "running",
    }


def with_tag(image: str) -> str:
    """The image with an explicit tag; without one the create ends in an error of theirs.

    >>> with_tag("ghcr.io:443/acme/train"), with_tag("a/b:1.4"), with_tag("a/b@sha256:0f")
    ('ghcr.io:443/acme/train:latest', 'a/b:1.4', 'a/b@sha256:0f')
    """
    has_tag = ":" in image.rpartition("/")[2] or "@" in image
    return image if has_tag else f"{image}:latest"
