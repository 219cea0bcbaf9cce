"""What an instance keeps of its create, beside what the world knows of every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from infra.simcloud.rented import Rented
from infra.simcloud.vast.bodies import CreateInstance
from infra.simcloud.vast.hosts import PROVIDER, Host


@dataclass(slots=True)
class Facts:
    """One instance's."""

    asked: CreateInstance
    host: Host
    gpus: int
    label: str | None
    bid_usd: Decimal | None
    key: str
    ports: dict[str, int]  # "8000/tcp": external port; port 22 is the machine's own
    end_s: float  # of the contract
    disk_gb: Decimal
    ssh_keys: dict[int, str] = field(default_factory=dict)
    wants_to_run: bool = True
    unknown_from_s: float = math.inf  # its host sends no heartbeat
    unknown_until_s: float = math.inf
    shown_until_s: float = -math.inf  # when it was destroyed, and still shows


def facts_of(machine: Rented) -> Facts:
    """What a machine of these keeps."""
    return cast(Facts, machine.details[PROVIDER])
