"""What the contract suite needs of a provider's simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from orchestrator.errors import ProviderError
from orchestrator.offers.offer import Offer
from orchestrator.offers.rank import select
from orchestrator.providers.base import Machine, MachineRequest, Provider
from orchestrator.spec.resources import Need

LABELS = tuple(f"gl1-homeid-runid123-{n:02d}-trpw5s-trpyxc" for n in range(4))
A, B, C = LABELS[:3]
NOBODY = "12345678901234"  # an id that no machine has
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"


class Bench(Protocol):
    """One provider over its simulator, and what a test may do to both.

    What cannot happen to a provider is not in `faults`, and makes no test of it.
    """

    provider: Provider
    need: Need  # of which this provider has offers
    faults: frozenset[str]
    secret: str  # the key in use, "" without one
    # What each call beside the five asks of the simulator, as `break_next` names it; "": nothing.
    asks: Mapping[str, str]

    def with_key(self, which: str) -> Provider:
        """The provider built anew: under the `same` key, a `wrong` one, or `another` account's."""

    def break_next(self, fault: str, **options: float | int | str) -> None:
        """Let a fault of `faults` happen, by default to the next call that it concerns."""

    def rented(self) -> list[str]:
        """Labels of the machines that live in the simulator, whatever a list may show."""

    def wait(self, seconds: float) -> None:
        """Let time go by."""


def request(offer: Offer, label: str = LABELS[0]) -> MachineRequest:
    return MachineRequest(
        label=label,
        offer=offer,
        image="runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
        disk_gib=Need().disk_gib,
        public_key=PUBLIC_KEY,
        start_command="echo booted; exec sleep infinity",
        environment={"GPULEASE_LABEL": label},
    )


def told(error: ProviderError) -> str:
    """Everything that an error would show to anybody."""
    return " ".join([repr(error), str(error), error.hint, repr(error.__cause__)])


def best(bench: Bench) -> Offer:
    offers = bench.provider.list_offers(bench.need)
    return select(bench.need, offers, lambda offer: offer.price.usd_per_hour).candidates[0]


def rent(bench: Bench, label: str = A) -> Machine:
    return bench.provider.create_machine(request(best(bench), label))


def listed(provider: Provider) -> list[str]:
    return sorted(str(machine.label) for machine in provider.list_machines())


def end(bench: Bench, machine_id: str) -> None:
    """Delete, and let the list catch up."""
    bench.provider.delete_machine(machine_id)
    bench.wait(bench.provider.capabilities.list_lag_s + 1)
