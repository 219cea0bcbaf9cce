"""Public keys: of an account, for instances that are made later, and of one instance."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from infra.simcloud.rented import Rented
from infra.simcloud.vast.facts import facts_of
from infra.simcloud.vast.hosts import PROVIDER
from infra.simcloud.vast.problems import Problem
from infra.simcloud.web import Json, Reply, json_reply
from infra.simcloud.world import World

_CHANGE = """
mkdir -p ~/.ssh && chmod 700 ~/.ssh && cd ~/.ssh && touch authorized_keys
{
  grep -vxF "$2" authorized_keys
  [ -z "$1" ] || grep -qxF "$1" authorized_keys || echo "$1"
} >authorized_keys.new
chmod 600 authorized_keys.new && mv authorized_keys.new authorized_keys
"""
_KINDS = ("ssh-", "ecdsa-", "sk-")


class SshKeys:
    """Every key that was registered."""

    def __init__(self, world: World, refresh: Callable[[Rented], None]) -> None:
        """`refresh` renews what an instance will boot with."""
        self._world = world
        self._refresh = refresh
        self._lock = threading.Lock()
        self._next_id = 500
        self._of_account: dict[str, dict[int, dict[str, Json]]] = {}

    def register(self, account: str, body: Mapping[str, Json]) -> Reply:
        """POST /ssh/."""
        text = _read(body)
        rows = self._rows(account)
        if any(row["key"] == text for row in rows.values()):
            raise Problem(400, "duplicate", "SSH key already exists")
        key_id = self._number()
        now = datetime.fromtimestamp(self._world.clock.now_s(), UTC).isoformat()
        owner = int(self._world.accounts[PROVIDER, account].id)
        rows[key_id] = {
            "id": key_id,
            "user_id": owner,
            "key": text,
            "created_at": now,
            "deleted_at": None,
        }
        self._tell_world(account)
        told = {name: value for name, value in rows[key_id].items() if name != "key"}
        return json_reply({"success": True, "key": told | {"public_key": text}})

    def listed(self, account: str) -> Reply:
        """GET /ssh/."""
        return json_reply([*self._rows(account).values()])

    def forget(self, account: str, key_id: str) -> Reply:
        """DELETE /ssh/{id}/."""
        if not key_id.isdecimal() or self._rows(account).pop(int(key_id), None) is None:
            raise Problem(404, "not_found", "SSH key not found")
        self._tell_world(account)
        return json_reply({"success": True})

    def attach(self, machine: Rented, body: Mapping[str, Json]) -> Reply:
        """POST /instances/{id}/ssh/: also to one that runs, within seconds."""
        text = _read(body)
        facts = facts_of(machine)
        if text in facts.ssh_keys.values():
            raise Problem(400, "invalid_args", "SSH key already attached to this instance")
        facts.ssh_keys[self._number()] = text
        self._apply(machine, add=text)
        return json_reply({"success": True, "msg": "SSH key attached successfully"})

    def attached(self, machine: Rented) -> Reply:
        """GET /instances/{id}/ssh/: the list is JSON within JSON."""
        rows = [{"id": key_id, "key": text} for key_id, text in facts_of(machine).ssh_keys.items()]
        return json_reply({"success": True, "ssh_keys": json.dumps(rows)})

    def detach(self, machine: Rented, key_id: str) -> Reply:
        """DELETE /instances/{id}/ssh/{key_id}/."""
        keys = facts_of(machine).ssh_keys
        if not key_id.isdecimal() or int(key_id) not in keys:
            raise Problem(404, "not_found", "SSH key not found")
        self._apply(machine, remove=keys.pop(int(key_id)))
        return json_reply({"success": True, "msg": "SSH key detached"})

    def _apply(self, machine: Rented, *, add: str = "", remove: str = "") -> None:
        self._refresh(machine)
        if machine.process is not None:
            machine.process.run(_CHANGE, add, remove)

    def _rows(self, account: str) -> dict[int, dict[str, Json]]:
        return self._of_account.setdefault(account, {})

    def _tell_world(self, account: str) -> None:
        keys = [str(row["key"]) for row in self._rows(account).values()]
        self._world.accounts[PROVIDER, account].ssh_keys = keys

    def _number(self) -> int:
        with self._lock:
            self._next_id += 1
            return self._next_id


def _read(body: Mapping[str, Json]) -> str:
    text = body.get("ssh_key")
    if not isinstance(text, str) or not text.strip().startswith(_KINDS) or "\n" in text.strip():
        raise Problem(400, "no_ssh_key", "No ssh key provided")
    return text.strip()
