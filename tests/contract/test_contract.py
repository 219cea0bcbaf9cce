"""The contract that every provider keeps, over its simulator.

A new provider is a fixture in conftest.py and its name below. What differs is in `Capabilities`
and in what its simulator can break, never in a provider's name.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from orchestrator.errors import (
    ApiGone,
    BadCredentials,
    InsufficientFunds,
    InvalidRequest,
    MachineNotFound,
    NoCapacity,
    OfferRefused,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
    Recovery,
)
from orchestrator.offers.offer import TRUST_ORDER, Offer
from orchestrator.offers.rank import select
from orchestrator.providers.base import (
    Account,
    BootLog,
    Charges,
    Machine,
    MachineStatus,
    Provider,
    same_account,
)
from orchestrator.providers.wrappers import stacked
from tests.contract.bench import LABELS, Bench, request, told

A, B, C = LABELS[:3]


OVER_A_NETWORK = ["runpod"]


@pytest.fixture(params=[*OVER_A_NETWORK, "local"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Every provider in turn."""
    made: Bench = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=OVER_A_NETWORK)
def cloud(request: pytest.FixtureRequest) -> Bench:
    """Every provider with an API, a key and a bill."""
    made: Bench = request.getfixturevalue(request.param)
    return made


def needs(bench: Bench, *faults: str) -> None:
    for fault in faults:
        if fault not in bench.faults:
            pytest.skip(f"{bench.provider.name}'s simulator cannot do {fault}")


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


class TestOffers:
    def test_an_offer_says_all_that_ranking_needs(self, bench: Bench) -> None:
        offers = bench.provider.list_offers(bench.need)

        assert offers
        assert len({offer.id for offer in offers}) == len(offers)
        for offer in offers:
            assert offer.provider == bench.provider.name
            assert offer.trust in TRUST_ORDER
            assert (offer.price.usd_per_hour > 0) == bench.provider.capabilities.bills
            assert bool(offer.gpu) == bool(offer.gpu_count) == bool(offer.gpu_memory_gib)

    def test_a_listing_rents_nothing(self, bench: Bench) -> None:
        bench.provider.list_offers(bench.need)

        assert bench.rented() == []

    def test_offers_that_cannot_be_had_now_are_an_error_and_not_none(self, cloud: Bench) -> None:
        needs(cloud, "html_502")
        cloud.break_next("html_502", operation="catalog")

        with pytest.raises(ProviderDown):
            cloud.provider.list_offers(cloud.need)


class TestCreate:
    def test_a_machine_carries_its_label_from_the_first_second(self, bench: Bench) -> None:
        machine = rent(bench)

        assert machine.label == A
        assert bench.rented() == [A]
        assert listed(bench.provider) == [A]
        assert bench.provider.get_machine(machine.id).label == A

    def test_a_machine_is_what_was_offered_at_its_price(self, bench: Bench) -> None:
        offer = best(bench)
        machine = bench.provider.create_machine(request(offer))

        assert (machine.gpu, machine.gpu_count) == (offer.gpu, offer.gpu_count)
        assert machine.usd_per_hour <= offer.price.usd_per_hour
        assert (machine.usd_per_hour > 0) == bench.provider.capabilities.bills

    def test_a_price_above_the_offer_shows_in_the_machine(self, cloud: Bench) -> None:
        needs(cloud, "price_above")
        offer = best(cloud)
        cloud.break_next("price_above")

        machine = cloud.provider.create_machine(request(offer))

        assert machine.usd_per_hour > offer.price.usd_per_hour * Decimal("1.05")
        assert cloud.provider.get_machine(machine.id).usd_per_hour == machine.usd_per_hour

    @pytest.mark.parametrize("fault", ["reply_lost", "5xx_after", "unreadable"])
    def test_a_lost_reply_is_unknown_and_the_label_finds_the_machine(
        self, cloud: Bench, fault: str
    ) -> None:
        needs(cloud, fault)
        offer = best(cloud)
        cloud.break_next(fault, operation="create")

        with pytest.raises(OutcomeUnknown):
            cloud.provider.create_machine(request(offer))
        assert cloud.rented() == listed(cloud.provider) == [A]

    @pytest.mark.parametrize("fault", ["5xx", "html_502"])
    def test_trouble_that_may_have_rented_is_unknown_also_when_it_did_not(
        self, cloud: Bench, fault: str
    ) -> None:
        needs(cloud, fault)
        offer = best(cloud)
        cloud.break_next(fault, operation="create")

        with pytest.raises(OutcomeUnknown):
            cloud.provider.create_machine(request(offer))
        assert cloud.rented() == listed(cloud.provider) == []

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("no_capacity", NoCapacity),
            ("rule", InvalidRequest),
            ("insufficient_funds", InsufficientFunds),
            ("forbidden", OfferRefused),
            ("wrong_key", BadCredentials),
        ],
    )
    def test_a_refusal_rents_nothing(
        self, cloud: Bench, fault: str, kind: type[ProviderError]
    ) -> None:
        needs(cloud, fault)
        offer = best(cloud)
        cloud.break_next(fault, operation="create")

        with pytest.raises(ProviderError) as caught:
            cloud.provider.create_machine(request(offer))
        assert type(caught.value) is kind
        assert caught.value.recovery in (Recovery.NEXT_OFFER, Recovery.STOP)
        assert cloud.rented() == []

    def test_too_many_calls_say_for_how_long_to_wait(self, cloud: Bench) -> None:
        needs(cloud, "rate_limit")
        offer = best(cloud)
        cloud.break_next("rate_limit", operation="create", seconds=7)

        with pytest.raises(RateLimited) as caught:
            cloud.provider.create_machine(request(offer))
        assert caught.value.retry_after_s >= 7
        if cloud.provider.capabilities.rate_limit_is_proof:
            assert cloud.rented() == []

    def test_nothing_sends_a_create_twice(self, cloud: Bench) -> None:
        needs(cloud, "reply_lost")
        provider = stacked(cloud.provider)
        offer = best(cloud)
        cloud.break_next("reply_lost", operation="create")

        with pytest.raises(OutcomeUnknown):
            provider.create_machine(request(offer))
        assert cloud.rented() == [A]


class TestList:
    def test_every_machine_is_listed_also_one_that_is_not_ours(self, bench: Bench) -> None:
        for label in (A, B, "somebody-elses"):
            rent(bench, label)

        assert listed(bench.provider) == sorted([A, B, "somebody-elses"])

    def test_every_page_is_read(self, cloud: Bench) -> None:
        needs(cloud, "small_pages")
        cloud.break_next("small_pages")
        for label in LABELS[:4]:
            rent(cloud, label)

        assert listed(cloud.provider) == sorted(LABELS[:4])

    def test_a_page_that_fails_makes_the_whole_list_an_error(self, cloud: Bench) -> None:
        needs(cloud, "small_pages", "list_page_fail")
        cloud.break_next("small_pages")
        for label in (A, B, C):
            rent(cloud, label)
        cloud.break_next("list_page_fail")

        with pytest.raises(ProviderDown):
            cloud.provider.list_machines()
        assert listed(cloud.provider) == sorted([A, B, C])

    @pytest.mark.parametrize("fault", ["reply_lost", "unreadable", "html_502", "5xx"])
    def test_a_list_that_was_not_read_whole_is_an_error(self, cloud: Bench, fault: str) -> None:
        needs(cloud, fault)
        rent(cloud)
        cloud.break_next(fault, operation="list")

        with pytest.raises(ProviderDown):
            cloud.provider.list_machines()

    def test_a_list_that_lags_is_caught_up_within_the_lag_that_is_declared(
        self, cloud: Bench
    ) -> None:
        needs(cloud, "list_lag_s")
        lag_s = cloud.provider.capabilities.list_lag_s
        cloud.break_next("list_lag_s", seconds=lag_s)
        machine = rent(cloud)

        assert listed(cloud.provider) == []
        assert cloud.provider.get_machine(machine.id).label == A
        cloud.wait(lag_s + 1)
        assert listed(cloud.provider) == [A]

        cloud.provider.delete_machine(machine.id)
        assert listed(cloud.provider) == [A]
        cloud.wait(lag_s + 1)
        assert listed(cloud.provider) == []

    @pytest.mark.parametrize(
        ("fault", "status"),
        [("exited", MachineStatus.STOPPED), ("error_status", MachineStatus.FAILED)],
    )
    def test_a_machine_that_stopped_or_failed_is_still_listed(
        self, cloud: Bench, fault: str, status: MachineStatus
    ) -> None:
        needs(cloud, fault)
        cloud.break_next(fault)
        rent(cloud)
        cloud.wait(120)

        (machine,) = cloud.provider.list_machines()
        assert machine.status is status


class TestGet:
    def test_an_id_that_never_was_is_not_found(self, bench: Bench) -> None:
        machine = rent(bench)
        end(bench, machine.id)

        with pytest.raises(MachineNotFound):
            bench.provider.get_machine(machine.id[:-1] + ("a" if machine.id[-1] != "a" else "b"))

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("html_502", ProviderDown),
            ("5xx", ProviderDown),
            ("reply_lost", ProviderDown),
            ("unreadable", ProviderDown),
            ("rate_limit", RateLimited),
            ("wrong_key", BadCredentials),
            ("forbidden", BadCredentials),
            ("gone", ApiGone),
        ],
    )
    def test_trouble_is_never_taken_for_absence(
        self, cloud: Bench, fault: str, kind: type[ProviderError]
    ) -> None:
        needs(cloud, fault)
        machine = rent(cloud)
        cloud.break_next(fault, operation="get")

        with pytest.raises(ProviderError) as caught:
            cloud.provider.get_machine(machine.id)
        assert type(caught.value) is kind

    def test_patience_gets_past_trouble_that_passes(self, cloud: Bench) -> None:
        needs(cloud, "html_502")
        machine = rent(cloud)
        cloud.break_next("html_502", operation="get")

        assert stacked(cloud.provider).get_machine(machine.id).id == machine.id


class TestDelete:
    def test_a_deleted_machine_is_gone_by_its_id_and_from_the_list(self, bench: Bench) -> None:
        machine, other = rent(bench, A), rent(bench, B)

        end(bench, machine.id)

        with pytest.raises(MachineNotFound):
            bench.provider.get_machine(machine.id)
        assert listed(bench.provider) == bench.rented() == [B]
        assert bench.provider.get_machine(other.id).label == B

    def test_a_delete_may_be_repeated(self, bench: Bench) -> None:
        machine = rent(bench)

        for _ in range(3):
            bench.provider.delete_machine(machine.id)
        bench.wait(bench.provider.capabilities.list_lag_s + 1)
        bench.provider.delete_machine(machine.id)

        assert bench.rented() == []

    def test_a_delete_that_lies_leaves_the_machine_to_be_seen(self, cloud: Bench) -> None:
        needs(cloud, "delete_lies")
        machine = rent(cloud)
        cloud.break_next("delete_lies")

        end(cloud, machine.id)

        assert cloud.provider.get_machine(machine.id).label == A
        assert listed(cloud.provider) == cloud.rented() == [A]

    @pytest.mark.parametrize("fault", ["delete_5xx_done", "5xx", "html_502", "reply_lost"])
    def test_a_delete_that_was_not_answered_is_an_error_and_can_be_repeated(
        self, cloud: Bench, fault: str
    ) -> None:
        needs(cloud, fault)
        machine = rent(cloud)
        cloud.break_next(fault, operation="delete")

        with pytest.raises(ProviderDown):
            cloud.provider.delete_machine(machine.id)
        cloud.provider.delete_machine(machine.id)

        assert cloud.rented() == []

    @pytest.mark.parametrize("fault", ["wrong_key", "forbidden", "gone"])
    def test_a_delete_that_was_refused_is_an_error(self, cloud: Bench, fault: str) -> None:
        needs(cloud, fault)
        machine = rent(cloud)
        cloud.break_next(fault, operation="delete")

        with pytest.raises(ProviderError) as caught:
            cloud.provider.delete_machine(machine.id)
        assert not isinstance(caught.value, MachineNotFound)
        assert cloud.rented() == [A]


CALLS: dict[str, Callable[[Provider, Bench], object]] = {
    "list_offers": lambda provider, cloud: provider.list_offers(cloud.need),
    "list_machines": lambda provider, _: provider.list_machines(),
    "get_machine": lambda provider, _: provider.get_machine("abcdefghijklmn"),
    "delete_machine": lambda provider, _: provider.delete_machine("abcdefghijklmn"),
}


class TestAccount:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_wrong_key_is_bad_credentials_everywhere(self, cloud: Bench, call: str) -> None:
        wrong = cloud.with_key("wrong")

        with pytest.raises(BadCredentials):
            CALLS[call](wrong, cloud)

    def test_a_wrong_key_rents_nothing(self, cloud: Bench) -> None:
        wrong = cloud.with_key("wrong")

        with pytest.raises(BadCredentials):
            wrong.create_machine(request(best(cloud)))
        assert cloud.rented() == []

    def test_another_accounts_machines_are_unseen_and_the_identity_says_whose(
        self, cloud: Bench
    ) -> None:
        another = cloud.with_key("another")
        machine = rent(cloud)

        assert another.list_machines() == []
        with pytest.raises(MachineNotFound):
            another.get_machine(machine.id)
        assert isinstance(another, Account)
        assert isinstance(cloud.provider, Account)
        assert same_account(cloud.provider.identity(), another.identity()) is False

    def test_the_identity_stays_the_same_and_is_no_key(self, bench: Bench) -> None:
        provider = bench.provider
        assert isinstance(provider, Account)

        identity = provider.identity()
        again = bench.with_key("same")

        assert isinstance(again, Account)
        assert same_account(identity, again.identity()) is True
        assert not bench.secret or bench.secret not in identity

    def test_the_account_is_known_by_its_key_where_its_name_cannot_be_had(
        self, cloud: Bench
    ) -> None:
        needs(cloud, "gone")
        named = cloud.provider
        nameless = cloud.with_key("same")
        assert isinstance(named, Account)
        assert isinstance(nameless, Account)
        identity = named.identity()
        cloud.break_next("gone", operation="graphql")

        assert nameless.balance_usd() is None
        assert same_account(identity, nameless.identity()) is True

    def test_a_balance_is_dollars_or_unknown(self, bench: Bench) -> None:
        assert isinstance(bench.provider, Account)

        balance = bench.provider.balance_usd()

        assert balance is None or balance > 0

    @pytest.mark.parametrize("fault", ["wrong_key", "html_502", "5xx", "unreadable", "forbidden"])
    def test_no_error_shows_the_key(self, cloud: Bench, fault: str) -> None:
        needs(cloud, fault)
        cloud.break_next(fault, operation="list")

        with pytest.raises(ProviderError) as caught:
            cloud.provider.list_machines()
        assert cloud.secret not in told(caught.value)


class TestOptional:
    def test_what_a_provider_declares_is_what_it_offers(self, bench: Bench) -> None:
        capabilities = bench.provider.capabilities

        assert isinstance(bench.provider, BootLog) == capabilities.has_boot_log
        assert isinstance(bench.provider, Charges) == capabilities.bills

    def test_a_boot_log_shows_the_host_key_of_a_machine_that_booted(self, cloud: Bench) -> None:
        provider = cloud.provider
        assert isinstance(provider, BootLog)
        machine = rent(cloud)

        assert "ssh-ed25519 " not in provider.boot_log(machine.id)
        cloud.wait(provider.capabilities.boot_deadline_s)
        assert "ssh-ed25519 " in provider.boot_log(machine.id)

    def test_a_log_of_nobody_is_not_found(self, cloud: Bench) -> None:
        provider = cloud.provider
        assert isinstance(provider, BootLog)

        with pytest.raises(MachineNotFound):
            provider.boot_log("abcdefghijklmn")

    def test_the_bill_is_what_the_machine_cost(self, cloud: Bench) -> None:
        provider = cloud.provider
        assert isinstance(provider, Charges)
        machine = rent(cloud)
        cloud.wait(1800)
        end(cloud, machine.id)
        cloud.wait(provider.capabilities.billing_lag_s)

        since_s = machine.created_at_s
        charges = provider.charges(since_s - 3600, since_s + 7200)
        billed_usd = sum(charge.usd for charge in charges if charge.machine_id == machine.id)

        expected_usd = float(machine.usd_per_hour) / 2
        assert float(billed_usd) == pytest.approx(expected_usd, rel=0.01)
