"""What is uncertain about the real service, or tedious in a test, as switches."""

from __future__ import annotations

from dataclasses import dataclass

from infra.simcloud import switches

POD_KEY_WAYS = ("v2", "delete", "graphql")


@dataclass(slots=True)
class Switches(switches.Switches):
    """The careful reading of the facts is the default."""

    page_size: int = 1000  # most rows of one page
    bill_page_size: int = 1000  # most records of one page of a bill
    pod_key_ways: tuple[str, ...] = ("v2", "graphql")  # how a pod may end itself: POD_KEY_WAYS
    later_fields: bool = True  # `cmd`, `entrypoint`, … which the August description lacks
    graphql_gone: bool = False
    v1_gone: bool = True
    calls_per_minute: int = 0  # to v2, that an account may make; 0: they are only counted
    says_pages: bool = True  # a list that is one page has `pagination` too
    odd_catalog: bool = False  # NONE above centers that have stock, and a card `unknown`
    clusters: tuple[str, ...] = ()  # names of pods that are members of an Instant Cluster
    refuses_urllib: bool = False  # the edge answers Python-urllib with a page of its own
    billing_lag_s: float = 300.0
