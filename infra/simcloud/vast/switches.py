"""What is uncertain about the real service, or tedious in a test, as switches."""

from __future__ import annotations

from dataclasses import dataclass

from infra.simcloud import switches


@dataclass(slots=True)
class Switches(switches.Switches):
    """What was seen last is the default, else the careful reading of the facts."""

    page_size: int = 25  # most rows of one page of instances
    bill_page_size: int = 500  # most rows of one page of charges
    search_cap: int = 64  # most offers of one answer
    search_defaults: bool = True  # verified and rentable when the query does not say
    bad_key_status: int = 404  # 401 was seen too
    gone_instance: str = "null"  # what GET says of one that is no more: null or 404
    v0_list: str = "410"  # 410, 200_error, empty or full
    thresholds: bool = False  # whether calls that come too soon are refused
    container_key_may: tuple[str, ...] = ("show", "state", "destroy")
    charges_lag_s: float = 86_400.0
