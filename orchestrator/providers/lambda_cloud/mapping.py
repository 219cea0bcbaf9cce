"""Lambda's instances, keys and launches, to and from ours. Pure.

Facts are of API 1.10.0, of notes on a later one, and of what was seen until 2026-11.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from orchestrator.errors import ProviderDown
from orchestrator.providers.base import (
    Leftover,
    Machine,
    MachineRequest,
    MachineStatus,
    SshAddress,
)
from orchestrator.providers.fields import to_host, to_integer, to_object
from orchestrator.providers.lambda_cloud.offers import to_card, to_usd_per_hour
from orchestrator.runs.label import parse_label

TAG = "gpulease"  # lower case, no underscore; no call changes tags later, but a name anybody may
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GONE = ("terminated", "preempted")
_STATUS = {
    "booting": MachineStatus.BOOTING,
    "active": MachineStatus.RUNNING,
    "contactable": MachineStatus.RUNNING,  # in no description; seen by a Terraform provider
    "unhealthy": MachineStatus.OUT_OF_TOUCH,
    "terminating": MachineStatus.FAILED,
}
_KEY_KIND = "ssh key"


def is_id(text: str) -> bool:
    """Whether `text` can be an instance's id."""
    return _ID.fullmatch(text) is not None


def to_machine(row: Any, ssh_user: str, ssh_port: int = 22) -> Machine | None:
    """One instance; None when it is terminated.

    Raises: ProviderDown when it is not an instance at all.
    """
    instance = to_object(row)
    machine_id = instance.get("id")
    if not isinstance(machine_id, str) or not is_id(machine_id):
        raise ProviderDown("Lambda sent an instance without a usable id")
    word = instance.get("status")
    if word in _GONE:
        return None
    # A status that is not known yet may bill, and is not ready.
    status = _STATUS.get(str(word), MachineStatus.BOOTING)
    kind = to_object(instance.get("instance_type"))
    label = to_label(instance)
    host = to_host(instance.get("ip"))
    return Machine(
        id=machine_id,
        label=label,
        status=status,
        gpu=to_card(str(kind.get("gpu_description") or ""))[0],
        gpu_count=to_integer(to_object(kind.get("specs")).get("gpus")),
        usd_per_hour=to_usd_per_hour(kind),
        created_at_s=_created_s(label, instance),
        # It may be up while it is still called booting, or have no address yet when active.
        address=SshAddress(host, ssh_port, ssh_user) if host else None,
        region=str(to_object(instance.get("region")).get("name") or ""),
    )


def to_label(instance: dict[str, Any]) -> str | None:
    """The label that an instance carries: in its name, or in our tag should it be renamed."""
    name = instance.get("name")
    if parse_label(name if isinstance(name, str) else None):
        return str(name)
    tags = instance.get("tags")
    for tag in tags if isinstance(tags, list) else []:
        value = to_object(tag).get("value")
        if to_object(tag).get("key") == TAG and isinstance(value, str) and parse_label(value):
            return value
    return str(name) if name else None


def to_rows(data: Any, what: str) -> tuple[list[dict[str, Any]], str]:
    """Rows of a list and the token of its next page, "" after the last.

    Raises: ProviderDown when it is no such list: a half list proves nothing.
    """
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProviderDown(f"Lambda answered without the list of {what}")
    token = data.get("page_token")
    if token is not None and not isinstance(token, str):
        raise ProviderDown(f"Lambda's list of {what} has a next page that it does not name")
    return rows, token or ""


def to_launch_body(request: MachineRequest, key_name: str) -> dict[str, Any]:
    """The body of a launch. `quantity` is not in the schema, and more than one is refused."""
    details = request.offer.details
    body: dict[str, Any] = {
        "region_name": details["region"],
        "instance_type_name": details["type"],
        "ssh_key_names": [key_name],
        "name": request.label,
        "tags": [{"key": TAG, "value": request.label}],
    }
    if "family" in details:
        body["image"] = {"family": details["family"]}
    if request.host_private_key:
        body["user_data"] = to_user_data(request.host_private_key, request.host_public_key)
    return body


def to_user_data(private_key: str, public_key: str) -> str:
    """What cloud-init reads at the first boot: the host key by which the machine is known.

    It is the machine's own secret and opens nothing else.
    """
    lines = "".join(f"    {line}\n" for line in private_key.strip().splitlines())
    return (
        "#cloud-config\n"
        "ssh_keys:\n"
        "  ed25519_private: |\n"
        f"{lines}"
        f"  ed25519_public: {public_key.strip()}\n"
    )


def to_launched_id(data: Any) -> str:
    """The id in the answer to a launch, "" unless there is exactly one."""
    ids = to_object(to_object(data).get("data")).get("instance_ids")
    if not isinstance(ids, list) or len(ids) != 1 or not isinstance(ids[0], str):
        return ""
    return ids[0] if is_id(ids[0]) else ""


def is_terminating(data: Any, machine_id: str) -> bool:
    """Whether the answer to a terminate names this machine."""
    rows = to_object(to_object(data).get("data")).get("terminated_instances")
    found = [to_object(row).get("id") for row in (rows if isinstance(rows, list) else [])]
    return machine_id in found


def to_key_blob(public_key: Any) -> tuple[str, ...]:
    """Type and content of an OpenSSH line, which two names of one key share.

    >>> to_key_blob("ssh-ed25519 AAAA a comment") == to_key_blob("ssh-ed25519 AAAA")
    True
    """
    return tuple(str(public_key).split()[:2])


def to_leftover(row: dict[str, Any]) -> Leftover | None:
    """A registered SSH key that carries a label of ours; None for anybody else's."""
    key_id, name = row.get("id"), row.get("name")
    if not isinstance(name, str) or not parse_label(name):
        return None
    if not isinstance(key_id, str) or not is_id(key_id):
        return None
    return Leftover(_KEY_KIND, key_id, name)


def _created_s(label: str | None, instance: dict[str, Any]) -> float:
    """Instances carry no time of creation: their label does, else when they were first healthy."""
    if facts := parse_label(label):
        return float(facts.created_s)
    try:
        moment = datetime.fromisoformat(str(instance.get("first_healthy")))
    except ValueError:
        return 0.0
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
