"""Which offers fit a need, which one first, and why the others do not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.offers.gpus import card, names
from orchestrator.offers.offer import TRUST_ORDER, Offer
from orchestrator.spec.resources import Need

_STOCK_ORDER = ("high", "medium", "low", "", "none")


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be rented, the first first, and what may not."""

    candidates: list[Offer]
    refused: list[tuple[Offer, str]]  # every reason of an offer, joined by "; "
    relaxation: str  # when nothing fits: the cheapest thing to give up; else ""


@dataclass(frozen=True, slots=True)
class _Misfit:
    reason: str
    remedy: str  # what the person would write to have it anyway, "" when nothing helps


def select(need: Need, offers: list[Offer], cost_usd: Callable[[Offer], Decimal]) -> Selection:
    """Sort offers into what fits, by the cost of the whole run, and what does not.

    Stock never refuses an offer, it only breaks ties: providers' stock figures are hints.

    Args:
        cost_usd: expected dollars of the whole run; asked only for offers that fit.
    """
    misfits = [(offer, _misfits(need, offer)) for offer in offers]
    fitting = [offer for offer, found in misfits if not found]
    refused = [(offer, found) for offer, found in misfits if found]
    return Selection(
        candidates=sorted(fitting, key=lambda offer: _rank_key(offer, cost_usd(offer))),
        refused=[(offer, "; ".join(miss.reason for miss in found)) for offer, found in refused],
        relaxation="" if fitting else _cheapest_relaxation(refused),
    )


def in_regions(region: str, allow: tuple[str, ...], deny: tuple[str, ...]) -> bool:
    """Whether a region, or each of several joined by commas, is one that the job may use.

    A shorter name means all that begins with it. An unknown region ("") passes only where no
    region was asked for.

    >>> in_regions("EU-RO-1", ("EU",), ()), in_regions("EUR-IS-1", ("EU",), ())
    (True, False)
    """
    if not allow and not deny:
        return True
    places = [place for place in region.split(",") if place]
    return bool(places) and all(
        (not allow or any(_within(place, area) for area in allow))
        and not any(_within(place, area) for area in deny)
        for place in places
    )


def _rank_key(offer: Offer, cost_usd: Decimal) -> tuple[Decimal, int, bool, float, str]:
    stock = _STOCK_ORDER.index(offer.stock) if offer.stock in _STOCK_ORDER else len(_STOCK_ORDER)
    # At equal cost a GPU beats none, then the bigger one.
    return cost_usd, stock, offer.gpu_count == 0, -offer.gpu_memory_gib, offer.id


def _cheapest_relaxation(refused: list[tuple[Offer, list[_Misfit]]]) -> str:
    """The offer that needs the fewest concessions, then the cheapest, in a sentence."""
    curable = [(offer, found) for offer, found in refused if all(miss.remedy for miss in found)]
    if not curable:
        return ""
    offer, found = min(
        curable, key=lambda pair: (len(pair[1]), pair[0].price.usd_per_hour, pair[0].id)
    )
    remedies = " and ".join(miss.remedy for miss in found)
    what = offer.gpu or "no GPU"
    rate = offer.price.usd_per_hour
    return f"{remedies} would allow {what} on {offer.provider} at ${rate:.2f}/h"


def _misfits(need: Need, offer: Offer) -> list[_Misfit]:
    checks = (_check_gpu, _check_host) if offer.gpu_count else (_check_no_gpu, _check_host)
    return [miss for check in checks for miss in check(need, offer)]


def _check_no_gpu(need: Need, offer: Offer) -> list[_Misfit]:
    if need.allow_cpu:
        return []
    return [_Misfit("it has no GPU", "`gpu: {allow_cpu: true}`")]


def _check_gpu(need: Need, offer: Offer) -> list[_Misfit]:
    found = []
    if need.gpu_names and not any(names(name, offer.gpu) for name in need.gpu_names):
        wanted = ", ".join(need.gpu_names)
        found.append(_Misfit(f"{offer.gpu} is not {wanted}", f"{offer.gpu} in `gpu.name`"))
    if offer.gpu_memory_gib < need.gpu_memory_gib:
        reason = f"{offer.gpu_memory_gib:g} GiB per GPU, {need.gpu_memory_gib:g} needed"
        remedy = f"a job that fits {offer.gpu_memory_gib:g} GiB (a smaller batch, or lora)"
        found.append(_Misfit(reason, remedy))
    if offer.gpu_count != need.gpu_count:
        reason = f"{offer.gpu_count} GPUs, {need.gpu_count} needed"
        found.append(_Misfit(reason, f"`gpu.count: {offer.gpu_count}`"))
    return found + _check_cuda(need, offer)


def _check_cuda(need: Need, offer: Offer) -> list[_Misfit]:
    known = card(offer.gpu)
    if need.cuda and known is not None and known.compute_capability is None:
        return [_Misfit(f"{offer.gpu} has no CUDA", "")]
    found = []
    capability = offer.compute_capability
    if capability is None and known is not None:
        capability = known.compute_capability
    if need.compute_capability > 0 and capability is None:
        found.append(_Misfit(f"the compute capability of {offer.gpu} is not known", ""))
    elif capability is not None and capability < need.compute_capability:
        reason = f"compute capability {capability}, {need.compute_capability} needed"
        found.append(_Misfit(reason, ""))
    if need.cuda and offer.cuda and _version(offer.cuda) < _version(need.cuda):
        reason = f"the host's driver has CUDA {offer.cuda}, {need.cuda} needed"
        found.append(_Misfit(reason, f"an `image` with CUDA {offer.cuda} or older"))
    return found


def _check_host(need: Need, offer: Offer) -> list[_Misfit]:
    found = []
    if offer.architecture != need.architecture:
        reason = f"the host is {offer.architecture}, {need.architecture} needed"
        found.append(_Misfit(reason, ""))
    if TRUST_ORDER.index(offer.trust) < TRUST_ORDER.index(need.trust):
        reason = f"the host's trust is {offer.trust}, {need.trust} needed"
        remedy = "allow_untrusted_secrets: true" if need.has_secrets else f"trust: {offer.trust}"
        found.append(_Misfit(reason, f"`{remedy}`"))
    if not in_regions(offer.region, need.regions_allow, need.regions_deny):
        place = offer.region or "a region that is not told"
        found.append(_Misfit(f"{place} is not among the regions", f"{place} in `regions`"))
    if offer.ram_gib is not None and offer.ram_gib < need.ram_gib:
        found.append(_Misfit(f"{offer.ram_gib:.3g} GiB of RAM, {need.ram_gib:g} needed", ""))
    if offer.disk_gib is not None and offer.disk_gib < need.disk_gib:
        found.append(_Misfit(f"{offer.disk_gib:.0f} GiB of disk, {need.disk_gib} needed", ""))
    if offer.available_s is not None and offer.available_s < need.duration_s:
        hours, needed = offer.available_s / 3600, need.duration_s / 3600
        reason = f"its host lets it for {hours:.1f} h, {needed:.1f} may be needed"
        found.append(_Misfit(reason, "a shorter `budget.max_duration`"))
    return found


def _within(place: str, area: str) -> bool:
    return f"{place}-".lower().startswith(f"{area}-".lower())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
