from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.providers.fields import (
    fingerprint,
    joined_identity,
    rounded_up,
    to_billed,
    to_dollars,
    to_gb,
    to_host,
    to_known_dollars,
    to_number,
    to_object,
    to_port,
    with_empty_rows,
)


@pytest.mark.parametrize("value", [None, "x", True, -1, "NaN", "1e9", [], {}])
def test_what_is_no_amount_is_unknown_and_counts_as_nothing(value: Any) -> None:
    assert to_known_dollars(value) is None
    assert to_dollars(value) == 0


@pytest.mark.parametrize(("value", "usd"), [(0, "0"), (1, "1"), (Decimal("0.35"), "0.35")])
def test_dollars_are_exact(value: Any, usd: str) -> None:
    assert to_known_dollars(value) == Decimal(usd)


@pytest.mark.parametrize("value", [None, "7", True, -0.1, float("inf"), float("nan"), [1]])
def test_what_is_no_number_is_none(value: Any) -> None:
    assert to_number(value) is None


def test_only_an_object_is_an_object() -> None:
    assert to_object({"a": 1}) == {"a": 1}
    assert to_object([1]) == to_object(None) == {}


@pytest.mark.parametrize("value", ["", " 1.2.3.4", "-oProxyCommand=x", "a b", "a\n", 7, None])
def test_what_cannot_be_dialled_is_no_host(value: Any) -> None:
    assert to_host(value) == ""


@pytest.mark.parametrize("value", [0, -1, 65536, "22", True, None])
def test_what_is_no_port_is_zero(value: Any) -> None:
    assert to_port(value) == 0


def test_amounts_are_rounded_against_us() -> None:
    assert rounded_up(Decimal("0.0000001")) == Decimal("0.000001")
    assert to_gb(56) == 61


def test_an_identity_names_the_user_and_never_the_key() -> None:
    named = joined_identity("4321", fingerprint("secret"))

    assert named.startswith("user:4321,key:")
    assert "secret" not in named


@pytest.mark.parametrize("value", [None, "x", True, float("nan"), float("inf"), {}, 1e9])
def test_a_row_of_a_bill_without_an_amount_is_unknown_and_not_free(value: Any) -> None:
    assert to_billed(value) is None


def test_what_is_paid_back_makes_no_bill_smaller() -> None:
    assert to_billed(Decimal("0.5")) == Decimal("0.5")
    assert to_billed(-1) == 0


@pytest.mark.parametrize("data", [None, [], {}, {"rows": None}, {"rows": {"a": 1}}])
def test_only_a_list_gets_empty_rows(data: Any) -> None:
    assert with_empty_rows(data, "rows") == data
    assert with_empty_rows({"n": 1, "rows": [None, {"a": 1}, "x"]}, "rows") == {
        "n": 1,
        "rows": [{}, {"a": 1}, {}],
    }
