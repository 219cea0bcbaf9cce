"""Reading requests: what PUT /asks/{id}/ takes, and its limits."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from infra.simcloud.vast.problems import Problem, invalid_args
from infra.simcloud.web import Json

LEAST_DISK_GB = 8
_DEFAULT_DISK_GB = 10
_MOST_START_CHARACTERS = 4096  # args, args_str and onstart together
_MOST_ENV_VALUE, _MOST_ENV = 256, 32_768
_MOST_PORTS = 64
_LONGEST_LABEL = 256
_PORT = re.compile(r"-p (\d{1,5}):(\d{1,5})(/udp|/tcp)?")
_PRICE_USD = (Decimal("0.001"), Decimal(128))

# Field: JSON type; all but the image may be left out or null. Documented, or sent by the CLI.
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "client_id": str,
    "image": str,
    "disk": (int, float),
    "price": (int, float),
    "label": str,
    "env": dict,
    "runtype": str,
    "onstart": str,
    "args": list,
    "args_str": str,
    "image_login": str,
    "cancel_unavail": bool,
    "target_state": str,
    "force": bool,
    "vm": bool,
    "python_utf8": bool,
    "lang_utf8": bool,
    "use_jupyter_lab": bool,
    "jupyter_dir": str,
    "user": str,
    "extra": str,
    "template_hash_id": str,
    "template_id": int,
    "volume_info": dict,
}
_RUNTYPES = {
    "ssh": "ssh ssh_proxy",
    "ssh_proxy": "ssh ssh_proxy",
    "ssh_direct": "ssh ssh_direc ssh_proxy",
    "jupyter": "jupyter_proxy ssh_proxy",
    "jupyter_proxy": "jupyter_proxy ssh_proxy",
    "jupyter_direct": "jupyter_direc ssh_direc ssh_proxy",
    "args": "args",
    # As the CLI has sent them:
    "ssh_direc ssh_proxy": "ssh ssh_direc ssh_proxy",
    "jupyter_direc ssh_direc ssh_proxy": "jupyter_direc ssh_direc ssh_proxy",
    "jupyter_direc ssh_proxy": "jupyter_direc ssh_proxy",
    "jupyter_proxy ssh_proxy": "jupyter_proxy ssh_proxy",
}


@dataclass(frozen=True, slots=True)
class CreateInstance:
    """A create that Vast would try to carry out."""

    image: str
    disk_gb: Decimal
    bid_usd: Decimal | None  # None: on demand
    label: str | None
    env: dict[str, str]
    runtype: str  # as instances show it
    onstart: str
    args: tuple[str, ...]
    cancel_unavail: bool
    starts: bool

    @property
    def has_ssh(self) -> bool:
        """Whether its container gets an sshd."""
        return self.runtype != "args"

    @property
    def is_direct(self) -> bool:
        """Whether port 22 is mapped on the host."""
        return "ssh_direc" in self.runtype

    @property
    def variables(self) -> dict[str, str]:
        """The part of `env` that is environment."""
        return {name: value for name, value in self.env.items() if not name.startswith("-")}

    @property
    def ports(self) -> list[tuple[int, str]]:
        """Ports that it wants mapped, with their protocols."""
        found = (_PORT.fullmatch(name) for name in self.env)
        return [(int(one[2]), (one[3] or "/tcp")[1:]) for one in found if one]


def read_object(body: bytes) -> dict[str, Json]:
    """The JSON object of a request; none at all is an empty one. Raises: Problem."""
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise Problem(400, "invalid_request", "Invalid json body")
    return data


def read_create(body: bytes) -> CreateInstance:
    """A create that keeps every rule that needs no look at the market. Raises: Problem."""
    given = {name: value for name, value in read_object(body).items() if value is not None}
    _check_types(given)
    image = str(given.get("image", ""))
    if not image:
        raise invalid_args("'image' is required")
    if ":" not in image.rpartition("/")[2]:
        raise Problem(400, "server_error", "Something went wrong")  # without a tag (seen)
    if "template_hash_id" in given or "template_id" in given:
        raise invalid_args("no such template")
    if given.get("vm") is True:
        raise Problem(400, "no_ssh_key_for_vm", "error 400/3470: an SSH key is needed for a VM")
    runtype = str(given.get("runtype", "args" if _has_args(given) else "ssh"))
    if runtype not in _RUNTYPES:
        raise invalid_args(f"unknown runtype {runtype!r}")
    target = given.get("target_state", "running")
    if target not in ("running", "stopped"):
        raise invalid_args("'target_state' must be running or stopped")
    env = given.get("env", {})
    assert isinstance(env, dict)
    made = CreateInstance(
        image=image,
        disk_gb=Decimal(str(given.get("disk", _DEFAULT_DISK_GB))),
        bid_usd=_bid_usd(given),
        label=str(given["label"]) if "label" in given else None,
        env={str(name): str(value) for name, value in env.items()},
        runtype=_RUNTYPES[runtype],
        onstart=str(given.get("onstart", "")),
        args=_args(given),
        cancel_unavail=_cancel_unavail(given),
        starts=target == "running",
    )
    _check_limits(made)
    return made


def _check_types(given: Mapping[str, Json]) -> None:
    if unknown := [name for name in given if name not in _FIELDS]:
        raise invalid_args(f"Extra inputs are not permitted: {', '.join(unknown)}")
    for name, value in given.items():
        kind = _FIELDS[name]
        is_number = kind in (int, (int, float))
        # To Python a boolean is a number.
        if not isinstance(value, kind) or (is_number and isinstance(value, bool)):
            raise invalid_args(f"{name!r} has the wrong type")


def _has_args(given: Mapping[str, Json]) -> bool:
    return bool(given.get("args") or given.get("args_str"))


def _args(given: Mapping[str, Json]) -> tuple[str, ...]:
    args = given.get("args")
    if isinstance(args, list):
        return tuple(str(one) for one in args)
    return tuple(shlex.split(str(given.get("args_str", ""))))


def _bid_usd(given: Mapping[str, Json]) -> Decimal | None:
    if "price" not in given:
        return None
    bid_usd = Decimal(str(given["price"]))
    if not _PRICE_USD[0] <= bid_usd <= _PRICE_USD[1]:
        raise Problem(400, "invalid_price", "error 400/3468: price must be from 0.001 to 128")
    return bid_usd


def _cancel_unavail(given: Mapping[str, Json]) -> bool:
    """Documented default: true on demand, false for a bid."""
    asked = given.get("cancel_unavail")
    return asked if isinstance(asked, bool) else "price" not in given


def _check_limits(made: CreateInstance) -> None:
    if made.disk_gb < LEAST_DISK_GB:
        raise invalid_args(f"'disk' must be at least {LEAST_DISK_GB}")
    if made.label is not None and len(made.label) > _LONGEST_LABEL:
        raise Problem(400, "label_too_long", "error 400/3469: the label is too long")
    started = len(made.onstart) + sum(len(word) for word in made.args)
    if started > _MOST_START_CHARACTERS:
        raise invalid_args(f"args and onstart: at most {_MOST_START_CHARACTERS} characters")
    lengths = [len(value) for value in made.env.values()]
    if max(lengths, default=0) > _MOST_ENV_VALUE or sum(lengths) > _MOST_ENV:
        raise invalid_args(f"'env': at most {_MOST_ENV_VALUE} characters each")
    if len(made.ports) > _MOST_PORTS:
        raise invalid_args(f"'env': at most {_MOST_PORTS} ports")
