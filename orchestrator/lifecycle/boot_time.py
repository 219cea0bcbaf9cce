"""How long a machine of an offer may take to come up, by the line that pulls its image. Pure."""

from __future__ import annotations

from orchestrator.lifecycle.traffic import IMAGE_BYTES
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities

_SHORTEST_S, _LONGEST_S = 480.0, 2400.0


def boot_deadline_s(offer: Offer, capabilities: Capabilities) -> float:
    """Until when a machine of this offer must have come up, by the line that pulls its image.

    Vast's facts §4.4: five minutes and three times the pull, between 8 and 40 minutes.

    >>> from decimal import Decimal
    >>> from orchestrator.budget.price import Price
    >>> from orchestrator.providers.base import GuardWay
    >>> slow = Offer("o", "p", "L4", 1, 24, Price(Decimal(1)), download_mbit_s=100)
    >>> boot_deadline_s(slow, Capabilities(guard=GuardWay.NONE))
    2400.0
    """
    if offer.line_bytes_per_s is None:
        return capabilities.boot_deadline_s
    pull_s = IMAGE_BYTES / offer.line_bytes_per_s
    return min(_LONGEST_S, max(_SHORTEST_S, 300.0 + 3 * pull_s))


def slowest_boot_s(offer: Offer, capabilities: Capabilities) -> float:
    """The high end of a boot: the provider's, or what the line takes for a large image.

    A machine that takes longer than its boot deadline is given back.
    """
    if offer.line_bytes_per_s is None:
        return capabilities.boot_s[1]
    pull_s = IMAGE_BYTES / offer.line_bytes_per_s
    return max(capabilities.boot_s[1], min(pull_s, boot_deadline_s(offer, capabilities)))
