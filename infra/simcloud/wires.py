"""A rented machine's connections: ports that lead to its sshd, and its ways to our servers."""

from __future__ import annotations

from collections.abc import Mapping

from infra.simcloud.net import LOOPBACK, Relay
from infra.simcloud.rented import Rented


def connect(machine: Rented, services: Mapping[str, int]) -> None:
    """Ports of its own: new ones to its sshd, and once to each of our servers."""
    came_in, went_out = machine.traffic.add_in, machine.traffic.add_out
    machine.ssh = Relay(
        None, at=machine.own_address, listening=False, sent=came_in, answered=went_out
    )
    machine.ssh_port = machine.ssh.port
    if machine.has_proxy and machine.proxy is None:
        machine.proxy = Relay(None, listening=False, sent=came_in, answered=went_out)
    if not machine.links:
        machine.links = {
            name: Relay((LOOPBACK, port), sent=went_out, answered=came_in)
            for name, port in services.items()
        }


def aim(machine: Rented, sshd: tuple[str, int] | None) -> None:
    """Its ports lead to this sshd, once they are open."""
    for door in _doors(machine):
        door.target = sshd


def open_doors(machine: Rented) -> None:
    """Let in who knocks, where somebody is at home."""
    for door in _doors(machine):
        if door.target:
            door.open()


def shut_doors(machine: Rented) -> None:
    """Refuse logins until they are opened again."""
    for door in _doors(machine):
        door.cut()


def cut(machine: Rented) -> None:
    """Nobody reaches it, and it reaches nobody here."""
    for relay in _relays(machine):
        relay.cut()


def close(machine: Rented, *, for_good: bool) -> None:
    """Give its port back, and with `for_good` everything."""
    if machine.ssh:
        machine.ssh.close()
    if machine.proxy and not for_good:
        machine.proxy.cut()
    elif for_good:
        for relay in _relays(machine):
            relay.close()


def _doors(machine: Rented) -> list[Relay]:
    return [door for door in (machine.ssh, machine.proxy) if door]


def _relays(machine: Rented) -> list[Relay]:
    return [*machine.links.values(), *_doors(machine)]
