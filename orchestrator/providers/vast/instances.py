"""Vast.ai's instances as machines: which state a row is in, and where it answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from orchestrator.errors import ProviderDown
from orchestrator.providers.base import Charge, Machine, MachineStatus, SshAddress
from orchestrator.providers.fields import (
    to_billed,
    to_dollars,
    to_host,
    to_integer,
    to_known_dollars,
    to_number,
    to_object,
    to_port,
)
from orchestrator.providers.http import one_line
from orchestrator.providers.vast.offers import to_card, to_region, to_traffic

_ID = re.compile(r"[1-9][0-9]{0,18}")
_SOURCE = re.compile(r"instance-([1-9][0-9]{0,18})")
# `loading` with a stopped contract was seen on fresh rentals that still pulled, and on reclaimed
# ones: it counts only once it has lasted (facts §4.4).
_STOPPED_LASTS_S = 180.0
_PORTS_LATE_S = 60.0  # an instance that runs without a direct port for so long has none
_USUAL_BOOT_S = 120.0
_SSH = "22/tcp"

# Texts of the host's docker after which the container does not come up by itself.
_FATAL = re.compile(
    r"error response from daemon|OCI runtime create failed|failed to create task"
    r"|manifest unknown|unauthorized|failed to pull image|toomanyrequests|no space left on device",
    re.IGNORECASE,
)
# A word that is not known yet may bill, and is not ready; so is null, which is being provisioned.
_STATUS = {
    "running": MachineStatus.RUNNING,
    "stopped": MachineStatus.STOPPED,
    "exited": MachineStatus.FAILED,  # it never comes back by itself, and may bill
    "frozen": MachineStatus.FAILED,
    "unknown": MachineStatus.OUT_OF_TOUCH,
    "offline": MachineStatus.OUT_OF_TOUCH,
}


def is_id(text: str) -> bool:
    """Whether `text` can be an instance's id."""
    return _ID.fullmatch(text) is not None


def to_machine(data: Any, ssh_user: str, now_s: float) -> Machine:
    """One instance. Raises: ProviderDown when it is not an instance at all."""
    row = to_object(data)
    number = to_integer(row.get("id"))
    if number < 1:
        raise ProviderDown("Vast.ai sent an instance without a usable id")
    status = to_status(row, now_s)
    addresses = to_addresses(row, ssh_user, now_s) if status is MachineStatus.RUNNING else ()
    shown_mb = to_number(row.get("gpu_ram"))
    word = str(row.get("gpu_name") or "")
    up_min, disk_gb = to_number(row.get("uptime_mins")), to_number(row.get("disk_space"))
    return Machine(
        id=str(number),
        label=str(row.get("label") or "") or None,
        status=status,
        gpu=to_card(word, shown_mb or 0.0)[0] if word else "",
        # Fields may be null until it runs; none is rented without a GPU.
        gpu_count=1 if row.get("num_gpus") is None else to_integer(row["num_gpus"]),
        usd_per_hour=to_rate(row),
        created_at_s=to_number(row.get("start_date")) or 0.0,
        address=addresses[0] if addresses else None,
        other_addresses=addresses[1:],
        region=to_region(row.get("geolocation")),
        up_s=up_min * 60 if up_min is not None and status is MachineStatus.RUNNING else None,
        disk_gib=disk_gb * 10**9 / 2**30 if disk_gb else None,
        traffic=to_traffic(row),
        spot=row.get("is_bid") is True,
    )


def to_status(row: dict[str, Any], now_s: float) -> MachineStatus:
    """What the row says, by three fields and a text; never more than a hint of readiness."""
    word = row.get("actual_status")
    known = _STATUS.get(word) if isinstance(word, str) else None
    wanted = (row.get("cur_state"), row.get("intended_status"), row.get("next_state"))
    is_stopped = all(state == "stopped" for state in wanted)
    if word == "exited" and is_stopped:  # its claim was lost, and its container ended by that
        return MachineStatus.STOPPED
    if known is not None:
        return known
    text = row.get("status_msg")
    has_failed = isinstance(text, str) and _FATAL.search(text) is not None
    if has_failed and word in (None, "created", "loading"):
        return MachineStatus.FAILED
    age_s = now_s - (to_number(row.get("start_date")) or now_s)
    return (
        MachineStatus.FAILED if is_stopped and age_s > _STOPPED_LASTS_S else MachineStatus.BOOTING
    )


def to_trouble(data: Any) -> str:
    """What keeps an instance from coming up, in its host's words; empty while it may."""
    text = to_object(data).get("status_msg")
    return one_line(text) if isinstance(text, str) and _FATAL.search(text) else ""


def to_rate(row: dict[str, Any]) -> Any:
    """Dollars an hour while it runs: a stopped one may show less."""
    parts = (to_known_dollars(row.get(part)) for part in ("dph_base", "storage_total_cost"))
    return max(to_dollars(row.get("dph_total")), sum(part for part in parts if part is not None))


def to_addresses(row: dict[str, Any], ssh_user: str, now_s: float) -> tuple[SshAddress, ...]:
    """Where its sshd answers, the fast way first: each pair is made from one source.

    Direct ports may come some time after the state; until then the proxy is not tried, because
    it takes connections before anybody answers behind it.
    """
    direct = _direct(row, ssh_user)
    proxy = _proxy(row, ssh_user)
    if direct is not None:
        return (direct,) if proxy is None else (direct, proxy)
    up_min = to_number(row.get("uptime_mins"))
    age_s = now_s - (to_number(row.get("start_date")) or now_s)
    up_s = age_s - _USUAL_BOOT_S if up_min is None else up_min * 60
    return (proxy,) if proxy is not None and up_s >= _PORTS_LATE_S else ()


def to_rows(data: Any, key: str, what: str) -> list[dict[str, Any]]:
    """Rows of one page. Raises: ProviderDown for anything else: half a list proves nothing."""
    rows = data.get(key) if isinstance(data, dict) else None
    good = isinstance(data, dict) and data.get("success") is not False
    if not good or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProviderDown(f"Vast.ai answered without the list of {what}")
    return rows


def to_all(
    page_after: Callable[[str], Any], key: str, total_key: str, what: str, most_pages: int
) -> list[dict[str, Any]]:
    """Rows of every page, or an error.

    Args:
        page_after: gives the page behind a token, "" for the first.

    Raises: ProviderDown when the pages do not end, or hold less than the provider counts.
    """
    rows: list[dict[str, Any]] = []
    token, seen = "", {""}
    for _ in range(most_pages):
        data = page_after(token)
        rows += to_rows(data, key, what)
        token = data.get("next_token") or ""
        if not token:
            total = to_integer(data.get(total_key))
            if len(rows) < total:
                raise ProviderDown(f"Vast.ai counts {total} {what} and shows {len(rows)}")
            return rows
        if not isinstance(token, str) or token in seen:
            raise ProviderDown(f"Vast.ai's list of {what} goes round in circles")
        seen.add(token)
    raise ProviderDown(f"Vast.ai's list of {what} does not end")


def to_charge(row: dict[str, Any]) -> Charge:
    """One line of the bill: an instance over some time, every part in it."""
    source = _SOURCE.fullmatch(str(row.get("source", "")))
    return Charge(
        machine_id=source[1] if source else "",
        start_s=to_number(row.get("start")) or 0.0,
        end_s=to_number(row.get("end")) or 0.0,
        usd=to_billed(row.get("amount")),
    )


def _direct(row: dict[str, Any], ssh_user: str) -> SshAddress | None:
    mapped = to_object(row.get("ports")).get(_SSH)
    first = to_object(mapped[0]) if isinstance(mapped, list) and mapped else {}
    port = _port(first.get("HostPort"))
    host = _host(row.get("public_ipaddr"))
    return SshAddress(host, port, ssh_user) if host and port else None


def _proxy(row: dict[str, Any], ssh_user: str) -> SshAddress | None:
    host, port = _host(row.get("ssh_host")), _port(row.get("ssh_port"))
    if port and "jupyter" in str(row.get("image_runtype") or ""):
        port = to_port(port + 1)
    return SshAddress(host, port, ssh_user) if host and port else None


def _host(value: Any) -> str:
    """A host, which may have line ends around it."""
    return to_host(value.strip()) if isinstance(value, str) else ""


def _port(value: Any) -> int:
    """A port, which docker writes as text."""
    is_text = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6
    return to_port(int(value) if is_text else value)
