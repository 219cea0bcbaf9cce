"""A plan in blocks: what would be rented, for how much, and what guards the money. Pure."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.cli.blocks import Block, Bullets, Facts, Table, Text, Tone, heading, section
from orchestrator.cli.figures import dollars, duration, moment, size, span
from orchestrator.runs.view import OfferView, PlanView, RefusedOfferView, SentView

_MOST_OFFERS = 8
_MOST_REFUSED = 6
_MOST_SENT = 5
_NEEDS = {
    "gpu_memory_gib": ("GPU memory, at least", "{} GiB"),
    "gpu_names": ("GPU", "{}"),
    "gpu_count": ("GPUs", "{}"),
    "disk_gib": ("disk", "{} GiB"),
    "cuda": ("CUDA", "{}"),
    "trust": ("trust", "{}"),
}


def plan_page(plan: PlanView) -> list[Block]:
    """The whole plan; nothing has been spent."""
    return [
        heading(f"Plan for {plan['name']} ({plan['kind']})"),
        Facts(
            (
                *(_need(key, value) for key, value in plan["need"].items()),
                *plan["sizing"],
            )
        ),
        *_offers(plan),
        *section("Not used", *_refused(plan["refused"])),
        *section("Money", Facts(_money(plan))),
        *section("What guards it", Bullets(tuple(plan["guards"]))),
        *section("Sent to the machine", Text(_sent(plan["sends"]))),
        *section("Results", Bullets(tuple(plan["artifacts"]))),
        *section("Mind", Bullets(tuple(plan["warnings"]), Tone.WARN)),
    ]


def offers_table(offers: list[OfferView]) -> Table:
    """Offers in their order; what only some providers tell has a column where one of them does."""
    spot = any("bid" in offer for offer in offers)
    forecast = any("forecast" in offer for offer in offers)
    about = [(name, told) for name, told in _ABOUT if any(map(told, offers))]
    if len(set(map(_guard, offers))) > 1:
        about.append(("guard", _guard))
    headings: tuple[str, ...] = (">#", "provider", "GPU", ">GiB", ">$/h")
    headings += ((">bid, holds",) if spot else ()) + ((">forecast", ">time") if forecast else ())
    rows = []
    for number, offer in enumerate(offers, 1):
        row = (str(number), *_machine(offer), *((_bid(offer),) if spot else ()))
        row += _forecast(offer) if forecast else ()
        rows.append((*row, *(told(offer) or "-" for _, told in about)))
    return Table((*headings, *(name for name, _ in about)), tuple(rows), about=len(about))


def _machine(offer: OfferView) -> tuple[str, str, str, str]:
    count = f"{offer['gpu_count']} x " if offer["gpu_count"] > 1 else ""
    return (
        offer["provider"],
        f"{count}{offer['gpu'] or 'none'}",
        f"{offer['gpu_memory_gib']:g}" if offer["gpu_memory_gib"] else "-",
        dollars(offer["usd_per_hour"]),
    )


def _line(offer: OfferView) -> str:
    """What the host's line carries, as its provider measured it."""
    return f"{offer['download_mbit_s']:.0f}" if "download_mbit_s" in offer else ""


def _uptime(offer: OfferView) -> str:
    return f"{100 * offer['reliability']:.1f} %" if "reliability" in offer else ""


def _guard(offer: OfferView) -> str:
    return offer.get("guard", "")


# Of an offer's host, as far as its provider tells.
_ABOUT: tuple[tuple[str, Callable[[OfferView], str]], ...] = (
    ("region", lambda offer: offer["region"]),
    ("trust", lambda offer: offer["trust"]),
    ("stock", lambda offer: offer["stock"]),
    (">Mbit/s", _line),
    (">uptime", _uptime),
)


def _bid(offer: OfferView) -> str:
    """What is bid, and for how long such a machine is expected to be had."""
    if "bid" not in offer:
        return "-"
    rate = offer["bid"]["reclaims_per_hour"]
    holds = f" ~{_roughly(1 / rate)}" if rate else ""
    return dollars(offer["bid"]["usd_per_hour"]) + holds


def _roughly(hours: float) -> str:
    """No more than is known.

    >>> _roughly(5.99), _roughly(0.31)
    ('6h', '19m')
    """
    return f"{hours:.0f}h" if hours >= 1.5 else f"{60 * hours:.0f}m"


def _forecast(offer: OfferView) -> tuple[str, str]:
    if "forecast" not in offer:
        return "-", "-"
    low_usd, high_usd = offer["forecast"]["cost_usd"]
    low_hours, high_hours = offer["forecast"]["hours"]
    time = span(3600 * low_hours, 3600 * high_hours)
    return f"{dollars(low_usd)}-{dollars(high_usd)}", time


def _offers(plan: PlanView) -> list[Block]:
    offers = plan["offers"]
    if not offers:
        waits = plan["waits"]
        text = "nothing that is for rent now fits" + (": something is waited for" if waits else "")
        return [
            *section("Offers", Text(text, Tone.WARN if waits else Tone.BAD)),
            Text(plan["relaxation"]),
        ]
    more = len(offers) - _MOST_OFFERS
    return [
        heading("Offers, the first is tried first"),
        offers_table(offers[:_MOST_OFFERS]),
        Text(f"and {more} more (--json lists all)" if more > 0 else "", Tone.DIM),
    ]


def _refused(refused: list[RefusedOfferView]) -> list[Block]:
    more = len(refused) - _MOST_REFUSED
    rows = tuple(
        (offer["provider"], offer["gpu"] or "none", dollars(offer["usd_per_hour"]), offer["reason"])
        for offer in refused[:_MOST_REFUSED]
    )
    return [
        Table(("provider", "GPU", ">$/h", "why not"), rows),
        Text(f"and {more} more (--json lists all)" if more > 0 else "", Tone.DIM),
    ]


def _money(plan: PlanView) -> tuple[tuple[str, str | Text], ...]:
    cap: str | Text = dollars(plan["cap_usd"])
    if plan["cap_usd"] is None:
        cap = Text(f"none yet; suggested {dollars(plan['suggested_cap_usd'])}", Tone.WARN)
    return (
        ("cap", cap),
        ("worst case", f"{dollars(plan['worst_usd'])}, reserved before anything is rented"),
        ("bringing home", f"{dollars(plan['reserve_usd'])} of it is kept for collect and return"),
        ("deadline", _deadline(plan)),
        ("good until", f"{moment(plan['start_by'])}: later no machine is rented"),
    )


def _sent(parts: list[SentView]) -> str:
    named = ", ".join(f"{one['path']} {size(one['size_bytes'])}" for one in parts[:_MOST_SENT])
    more = f", and {len(parts) - _MOST_SENT} more" if len(parts) > _MOST_SENT else ""
    files, total = sum(one["files"] for one in parts), sum(one["size_bytes"] for one in parts)
    return f"{files} files, {size(total)}: {named}{more}" if parts else ""


def _deadline(plan: PlanView) -> str:
    if plan["waits"] and not plan["offers"]:
        return "as the cap and max_duration allow, once there is an offer"
    return f"{duration(3600 * plan['deadline_hours'])} after the rent, whatever happens"


def _need(key: str, value: object) -> tuple[str, str]:
    name, unit = _NEEDS.get(key, (key.replace("_", " "), "{}"))
    if isinstance(value, list):
        return name, ", ".join(map(str, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return name, unit.format(text) if text else ""
