"""How long a run takes and what it costs, before anything is rented. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING

from orchestrator.budget.price import CENT
from orchestrator.lifecycle.boot_time import slowest_boot_s
from orchestrator.lifecycle.deadlines import LONGEST_S
from orchestrator.lifecycle.reclaims import hours_with_reclaims
from orchestrator.lifecycle.traffic import IMAGE_BYTES
from orchestrator.offers.gpus import card
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Capabilities
from orchestrator.runs.run import Launch
from orchestrator.runs.states import State
from orchestrator.sizing.fit import (
    ENVIRONMENT_DOWNLOAD_BYTES,
    SETUP_S,
    Footprint,
    expected_hours,
)

if TYPE_CHECKING:
    from orchestrator.lifecycle.plan import Material

SUGGESTED = Decimal("1.25")
_OWN_CODE_HOURS = (0.02, 1.0)


def forecast_hours(
    material: Material, offer: Offer, facts: Capabilities | None
) -> tuple[float, float]:
    """Hours from create to home, low and high; `facts` None: the machine is there already.

    The high end of an offer to bid for has in it what is expected to be done again.
    """
    low, high = _hours(material, offer, facts)
    if offer.bid is None or facts is None:
        return low, high
    saved_h = material.launch.checkpoint_every_s / 3600 if material.saves else high
    again_h = (slowest_boot_s(offer, facts) + SETUP_S) / 3600
    return low, hours_with_reclaims(high, offer.bid, saved_h=saved_h, again_h=again_h)


def forecast_usd(
    material: Material, offer: Offer, capabilities: Mapping[str, Capabilities]
) -> tuple[Decimal, Decimal]:
    """Dollars of the whole run on this offer, low and high."""
    low, high = forecast_hours(material, offer, capabilities[offer.provider])
    increment_s = capabilities[offer.provider].billing_increment_s
    low, high = (_billed_hours(hours, increment_s) for hours in (low, high))
    rate, traffic = offer.price.usd_per_hour, material.launch.traffic
    # The low end has neither a pull that may not be charged, nor more results than there must be.
    least = replace(traffic, image_bytes=0, sends_bytes=traffic.sends_bytes // 2)
    low_usd = rate * Decimal(str(low)) + least.planned_usd(offer.price)
    machines = 1 + (offer.bid.reclaims_per_hour * high if offer.bid else 0)
    traffic_usd = traffic.planned_usd(offer.price) * Decimal(str(machines))
    high_usd = rate * Decimal(str(high)) + traffic_usd
    return low_usd.quantize(CENT), high_usd.quantize(CENT, ROUND_UP)


def suggested_cap_usd(
    material: Material, likely: Sequence[Offer], capabilities: Mapping[str, Capabilities]
) -> Decimal:
    """A cap that carries the forecast of any of these offers, and what is reserved beside it.

    Of a forecast beyond `max_duration` only what may be reached.
    """
    dearest = max(_reached_usd(material, offer, capabilities) for offer in likely)
    reserves = [_reserve_usd(material, offer) for offer in likely]
    paid = [_paid_usd(material, offer, capabilities[offer.provider]) for offer in likely]
    usd = max(dearest * SUGGESTED + max(reserves), *paid)
    return max(CENT, Decimal(math.ceil(usd * 20)) / 20).quantize(CENT)


def disk_gib(footprint: Footprint | None) -> int:
    """Container disk: image, environment, model, data and results."""
    return (IMAGE_BYTES >> 30) + (footprint.disk_gib if footprint else 20)


def too_slow(material: Material, offer: Offer) -> str:
    """Why a set-up could not end in time over the host's line; "" where it can, or may."""
    footprint, line_bytes_per_s = material.footprint, offer.line_bytes_per_s
    longest_s = LONGEST_S[State.SETTING_UP]
    if footprint is None or line_bytes_per_s is None or longest_s is None:
        return ""
    needed_s = (ENVIRONMENT_DOWNLOAD_BYTES + footprint.download_bytes) / line_bytes_per_s
    if needed_s <= longest_s:
        return ""
    return (
        f"its line of {line_bytes_per_s * 8 / 1e6:.0f} Mbit/s takes {needed_s / 3600:.1f} h for "
        f"model and environment, and a set-up may take {longest_s / 3600:.0f} h"
    )


def _hours(material: Material, offer: Offer, facts: Capabilities | None) -> tuple[float, float]:
    """Those of a machine that nobody takes away; a slow line of its host counts."""
    footprint = material.footprint
    rented = facts if facts is not None and facts.bills else None
    low_boot_s, high_boot_s, usual_s = 0.0, 1.0, 1.0
    if rented is not None:
        low_boot_s, usual_s = rented.boot_s
        high_boot_s = slowest_boot_s(offer, rented)
    if footprint is None:
        low, high = _OWN_CODE_HOURS
        high += (high_boot_s - usual_s) / 3600
        longest = material.job.budget.max_duration_s / 3600
        return min(low, longest), min(high, longest)
    gpu = card(offer.gpu)
    tflops = (gpu.bf16_tflops or gpu.fp16_tflops) if gpu else None
    low, high = expected_hours(
        footprint,
        tflops,
        environment=rented is not None,
        line_bytes_per_s=offer.line_bytes_per_s,
    )
    home_s = footprint.result_bytes / material.home_bytes_per_s
    return low + low_boot_s / 3600, high + (high_boot_s + home_s) / 3600


def _reached_usd(
    material: Material, offer: Offer, capabilities: Mapping[str, Capabilities]
) -> Decimal:
    high_h = forecast_hours(material, offer, capabilities[offer.provider])[1]
    share = min(1.0, material.job.budget.max_duration_s / 3600 / high_h)
    return forecast_usd(material, offer, capabilities)[1] * Decimal(str(share))


def _reserve_usd(material: Material, offer: Offer) -> Decimal:
    launch = material.launch
    return offer.price.for_seconds(_reserved_s(launch)) + launch.traffic.planned_usd(offer.price)


def _paid_usd(material: Material, offer: Offer, facts: Capabilities) -> Decimal:
    """What the forecast's high end × SUGGESTED comes to, and what is reserved, as it is billed."""
    launch = material.launch
    high_s = forecast_hours(material, offer, facts)[1] * 3600
    work_s = min(high_s, material.job.budget.max_duration_s) * float(SUGGESTED)
    usd = offer.price.for_seconds(
        work_s + _reserved_s(launch), increment_s=facts.billing_increment_s
    )
    return usd + launch.traffic.planned_usd(offer.price)


def _reserved_s(launch: Launch) -> float:
    return launch.hold_s + launch.keep_s + launch.collect_s + launch.grace_s + 180.0


def _billed_hours(hours: float, increment_s: int) -> float:
    """Hours as they are billed.

    >>> _billed_hours(0.4, 3600), _billed_hours(0.4, 1)
    (1.0, 0.4)
    """
    if increment_s <= 1:
        return hours
    return math.ceil(round(hours * 3600 / increment_s, 6)) * increment_s / 3600
