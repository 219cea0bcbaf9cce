from __future__ import annotations

import threading

from orchestrator.clock import FakeClock
from orchestrator.errors import MissingCredentials, ProviderDown
from orchestrator.lifecycle.accounts import Accounts
from orchestrator.lifecycle.catalog import ask_all
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import Provider
from orchestrator.spec.resources import Need
from tests.lifecycle.clouds import SmallCloud
from tests.runs.samples import offer


def accounts(clouds: dict[str, SmallCloud]) -> Accounts:
    def build(name: str) -> Provider:
        if name not in clouds:
            raise MissingCredentials(f"{name} has no key")
        return clouds[name]

    return Accounts(build, FakeClock())


def test_a_failing_provider_does_not_hide_the_others() -> None:
    good, bad = SmallCloud(offers=[offer("a"), offer("b")]), SmallCloud()
    bad.fault = ProviderDown("bad is down")

    offers, failures = ask_all(
        accounts({"good": good, "bad": bad}), ["bad", "good", "keyless"], Need()
    )

    assert [one.id for one in offers] == ["a", "b"]
    assert {name: error.problem for name, error in failures.items()} == {
        "bad": "bad is down",
        "keyless": "keyless has no key",
    }


def test_a_provider_that_is_named_twice_is_asked_once() -> None:
    offers, _ = ask_all(accounts({"a": SmallCloud(offers=[offer()])}), ["a", "a"], Need())

    assert len(offers) == 1


def test_no_provider_gives_no_offers() -> None:
    assert ask_all(accounts({}), [], Need()) == ([], {})


class Slow(SmallCloud):
    """It answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(offers=[offer("late")])
        self.word = threading.Event()

    def list_offers(self, need: Need) -> list[Offer]:
        self.word.wait(30)
        return super().list_offers(need)


def test_a_provider_that_takes_too_long_does_not_hide_the_others() -> None:
    quick, slow = SmallCloud(offers=[offer("a")]), Slow()

    offers, failures = ask_all(
        accounts({"quick": quick, "slow": slow}), ["slow", "quick"], Need(), limit_s=0.2
    )
    slow.word.set()

    assert [one.id for one in offers] == ["a"]
    assert list(failures) == ["slow"]
    assert isinstance(failures["slow"], ProviderDown)
