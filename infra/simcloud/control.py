"""The control server: what really happened, and knobs to make things happen. No wire format."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from infra.simcloud.accounts import NAMES
from infra.simcloud.faults import Fault, UnknownFault
from infra.simcloud.machines import NotPossible
from infra.simcloud.mishaps import OUTBID
from infra.simcloud.orders import Call, NotNow, SoldOut
from infra.simcloud.rented import Rented
from infra.simcloud.web import Json, Reply, Request, json_reply
from infra.simcloud.world import World

if TYPE_CHECKING:
    from infra.simcloud.cloud import SimCloud


class _Mistake(ValueError):
    """The caller's, with a status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Control:
    """Answers requests to SIMCLOUD_URL."""

    def __init__(self, cloud: SimCloud) -> None:
        self._cloud = cloud

    def __call__(self, request: Request) -> Reply:
        self._cloud.world.settle()
        try:
            return json_reply(self._route(request))
        except _Mistake as mistake:
            return json_reply({"error": str(mistake)}, mistake.status)
        except (UnknownFault, ValueError, NotPossible, NotNow, SoldOut) as mistake:
            return json_reply({"error": str(mistake)}, 400)

    def _route(self, request: Request) -> Json:
        cloud = self._cloud
        match (request.method, *request.parts):
            case ("GET", "machines"):
                return list(machine_rows(cloud.world))
            case ("POST", "machines", machine_id, "fault"):
                machine_fault(cloud.world, machine_id, _text(_body(request), "fault"))
                return {}
            case ("POST", "machines", machine_id, "traffic"):
                traffic = _machine(cloud.world, machine_id).traffic
                traffic.add_in(_bytes(_body(request), "bytes_in"))
                traffic.add_out(_bytes(_body(request), "bytes_out"))
                return {}
            case ("GET", "machines", machine_id, "log"):
                return [line.text for line in _machine(cloud.world, machine_id).log.lines()]
            case ("GET", "calls"):
                return [_call_row(call) for call in list(cloud.world.calls)]
            case ("GET", "bill"):
                return bill(cloud.world)
            case ("GET", "faults"):
                return [_fault_row(fault) for fault in cloud.world.faults.active()]
            case ("POST", "faults"):
                body = _body(request)
                cloud.fault(
                    _text(body, "fault"),
                    provider=str(body.get("provider", "")),
                    operation=str(body.get("operation", "")),
                    **{
                        name: value
                        for name, value in body.items()
                        if name not in ("fault", "provider", "operation")
                        and not isinstance(value, list | dict)
                    },
                )
                return {}
            case ("DELETE", "faults"):
                cloud.clear_faults()
                return {}
            case ("POST", "switches"):
                body = _body(request)
                provider = str(body.pop("provider", ""))
                for name, value in body.items():
                    cloud.switch(provider=provider, **{name: value})
                return {}
            case ("GET", "clock"):
                return {"now_s": cloud.world.clock.now_s()}
            case ("POST", "clock"):
                seconds = _body(request).get("advance_s")
                if not isinstance(seconds, int | float):
                    raise _Mistake(400, "advance_s: seconds")
                cloud.advance(float(seconds))
                return {"now_s": cloud.world.clock.now_s()}
        raise _Mistake(
            404, "GET machines, calls, bill, faults, clock; POST faults, switches, clock"
        )


def machine_rows(world: World) -> list[dict[str, Json]]:
    """Every machine ever rented, oldest first."""
    now_s = world.clock.now_s()
    return [
        {
            "provider": machine.provider,
            "id": machine.id,
            "account": machine.account,
            "label": machine.label,
            "offer": f"{machine.stock.card.id} x{machine.gpu_count} {machine.stock.tier}",
            "price_usd_per_hour": str(round(machine.usd_per_hour, 6)),
            "status": machine.phase.value,
            "created_at": machine.created_s,
            "ended_at": machine.ended_s,
            "ended_by": machine.ended_by.value if machine.ended_by else None,
            "billed_usd": str(machine.bill_usd(now_s)),
            "ssh_port": machine.ssh_port,
            "kind": machine.backend,
        }
        for machine in list(world.machines.values())
    ]


def bill(world: World) -> dict[str, Json]:
    """What everything cost so far."""
    accounts = world.accounts
    providers = dict.fromkeys(provider for provider, _ in accounts.keys)
    return {
        "total_usd": str(accounts.bill_usd()),
        "accounts": {name: str(accounts.bill_usd(name=name)) for name in NAMES},
        "providers": {provider: str(accounts.bill_usd(provider)) for provider in providers},
    }


def machine_fault(world: World, machine_id: str, fault: str) -> None:
    """Break one machine now. Raises: ValueError, NotPossible."""
    machine = _machine(world, machine_id)
    acts: dict[str, Callable[[], None]] = {
        "host_lost": lambda: world.lose(machine),
        "host_restarted": lambda: world.start_anew(machine),
        "network_cut": lambda: world.cut_network(machine),
        "network_restored": lambda: world.restore_network(machine),
        "disk_full": lambda: world.fill_disk(machine),
        "gpu_dead": lambda: world.break_gpu(machine),
        "spot_reclaim": lambda: world.stop(machine, OUTBID),
        "spot_return": lambda: world.start(machine),
    }
    if fault not in acts:
        raise ValueError(f"no fault {fault!r} of a machine; known: {', '.join(acts)}")
    acts[fault]()


def _machine(world: World, machine_id: str) -> Rented:
    machine = world.machines.get(machine_id)
    if machine is None:
        raise _Mistake(404, f"no machine {machine_id!r}")
    return machine


def _call_row(call: Call) -> Json:
    return {
        "provider": call.provider,
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "at": call.at_s,
    }


def _fault_row(fault: Fault) -> Json:
    return {
        "provider": fault.provider,
        "operation": fault.operation,
        "fault": fault.name,
        "times": fault.left,
        **{f"if_{name}": value for name, value in fault.match.items()},
        **fault.options,
    }


def _body(request: Request) -> dict[str, Json]:
    try:
        data = json.loads(request.body or b"{}")
    except ValueError:
        raise _Mistake(400, "the body is not JSON") from None
    if not isinstance(data, dict):
        raise _Mistake(400, "the body is not a JSON object")
    return data


def _bytes(body: dict[str, Json], name: str) -> int:
    value = body.get(name, 0)
    if not isinstance(value, int) or value < 0:
        raise _Mistake(400, f"{name}: how many bytes")
    return value


def _text(body: dict[str, Json], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise _Mistake(400, f"{name}: a text is missing")
    return value
