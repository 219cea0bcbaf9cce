"""Reading launches as strictly as Lambda describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from infra.simcloud.lambda_cloud.problems import invalid
from infra.simcloud.web import Json

_TAG = re.compile(r"[a-z][a-z0-9-:]+")
_HOSTNAME = re.compile(r"[a-z0-9][0-9a-z-]{0,62}")
_LARGEST_USER_DATA = 10**6
_FIELDS = {
    "region_name": str,
    "instance_type_name": str,
    "ssh_key_names": list,
    "file_system_names": list,
    "file_system_mounts": list,
    "hostname": str,
    "name": str,
    "image": dict,
    "user_data": str,
    "tags": list,
    "firewall_rulesets": list,
    "quantity": int,  # in no description, and seen to be accepted
}
_REQUIRED = ("region_name", "instance_type_name", "ssh_key_names")


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that keeps every rule that needs no look at the account."""

    region: str
    kind: str
    key: str
    name: str
    hostname: str
    image: Mapping[str, Json]
    user_data: str
    tags: list[Json]
    file_systems: list[Json]
    rulesets: list[Json]


def read_object(body: bytes) -> dict[str, Json]:
    """The JSON object of a request. Raises: Problem."""
    try:
        data = json.loads(body)
    except ValueError:
        raise invalid("The request body is not valid JSON.") from None
    if not isinstance(data, dict):
        raise invalid("The request body must be an object.")
    return data


def read_launch(body: bytes) -> Launch:
    """Raises: Problem."""
    data = read_object(body)
    for name, value in data.items():
        kind = _FIELDS.get(name)
        if kind and (not isinstance(value, kind) or isinstance(value, bool)):
            raise invalid(f"Invalid value for {name}.")
    if missing := [name for name in _REQUIRED if name not in data]:
        raise invalid(f"Missing required field: {missing[0]}.")
    if data.get("quantity", 1) != 1:
        raise invalid("Requested too many instances.")
    keys = _list(data, "ssh_key_names")
    if len(keys) != 1:
        raise invalid("Exactly one SSH key must be specified.")
    name = str(data.get("name", ""))
    hostname = str(data.get("hostname", ""))
    if len(name) > 64 or (hostname and not _HOSTNAME.fullmatch(hostname)):
        raise invalid("Invalid name or hostname.")
    user_data = str(data.get("user_data", ""))
    if len(user_data.encode()) > _LARGEST_USER_DATA:
        raise invalid("user_data is larger than 1 MB.")
    tags = _list(data, "tags")
    if not all(_is_tag(tag) for tag in tags):
        raise invalid("Invalid tag.")
    image = data.get("image")
    is_image = isinstance(image, dict) and len({"id", "family"} & set(image)) == 1
    if image is not None and not is_image:
        raise invalid("Exactly one of image id or family must be specified.")
    return Launch(
        region=str(data["region_name"]),
        kind=str(data["instance_type_name"]),
        key=str(keys[0]),
        name=name,
        hostname=hostname,
        image=image if isinstance(image, dict) else {},
        user_data=user_data,
        tags=tags,
        file_systems=[*_list(data, "file_system_names"), *_list(data, "file_system_mounts")],
        rulesets=_list(data, "firewall_rulesets"),
    )


def host_key_of(user_data: str) -> str:
    """The private host key that cloud-init would write; "" for any other user data."""
    if not user_data.startswith("#cloud-config"):
        return ""
    try:
        told = YAML(typ="safe").load(user_data)
    except YAMLError:
        return ""
    keys = told.get("ssh_keys") if isinstance(told, dict) else None
    key = keys.get("ed25519_private") if isinstance(keys, dict) else None
    return key if isinstance(key, str) else ""


def _list(data: Mapping[str, Json], name: str) -> list[Json]:
    value = data.get(name)
    return value if isinstance(value, list) else []


def _is_tag(tag: Json) -> bool:
    if not isinstance(tag, dict) or set(tag) != {"key", "value"}:
        return False
    key, value = tag["key"], tag["value"]
    is_key = isinstance(key, str) and len(key) <= 55 and _TAG.fullmatch(key) is not None
    return is_key and isinstance(value, str) and len(value) <= 128
