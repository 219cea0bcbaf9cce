from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.providers.vast.requests import ONSTART_LIMIT_BYTES, to_create_body
from tests.providers.vast.samples import BID, LABEL, PUBLIC_KEY, offer, request


def test_a_create_says_everything_that_has_a_doubtful_default() -> None:
    body = to_create_body(request())

    assert body["client_id"] == "me"
    assert body["label"] == LABEL
    assert body["disk"] == 61  # GB of 56 GiB
    assert body["runtype"] == "ssh_direct"
    assert body["cancel_unavail"] is True
    assert body["target_state"] == "running"
    assert body["onstart"] == request().start_command
    assert body["env"] == {"GPULEASE_LABEL": LABEL, "PUBLIC_KEY": PUBLIC_KEY}


def test_on_demand_is_never_a_bid_by_accident() -> None:
    assert to_create_body(request())["price"] is None

    with pytest.raises(InvalidRequest, match="a bid needs an offer for bids"):
        to_create_body(request(bid_usd_per_hour=Decimal("0.20")))
    with pytest.raises(InvalidRequest, match="needs a bid"):
        to_create_body(request(offer=offer(bid=BID)))
    with pytest.raises(InvalidRequest, match="a bid needs"):
        to_create_body(request(offer=offer(bid=BID), bid_usd_per_hour=Decimal("0.37")))


def test_a_bid_is_sent_when_offer_and_request_both_say_so() -> None:
    body = to_create_body(request(offer=offer(bid=BID), bid_usd_per_hour=BID.usd_per_hour))

    assert body["price"] == 0.20
    assert body["cancel_unavail"] is True


def test_ports_are_flags_among_the_variables_and_ssh_needs_none() -> None:
    env = to_create_body(request(ports=(22, 8000)))["env"]

    assert env["-p 8000:8000"] == "1"
    assert not any(":22" in key for key in env)


def test_an_image_without_a_tag_gets_one() -> None:
    assert to_create_body(request(image="acme/train"))["image"] == "acme/train:latest"


def test_the_smallest_disk_is_eight_gigabytes() -> None:
    assert to_create_body(request(disk_gib=1))["disk"] == 8


def test_a_start_command_that_may_be_too_long_is_refused_here() -> None:
    to_create_body(request(start_command="x" * ONSTART_LIMIT_BYTES))

    with pytest.raises(InvalidRequest, match="over 4000 bytes"):
        to_create_body(request(start_command="x" * (ONSTART_LIMIT_BYTES + 1)))
