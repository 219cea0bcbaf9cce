from __future__ import annotations

import pytest

from orchestrator.providers.base import Capabilities, GuardWay, same_account


@pytest.mark.parametrize(
    ("recorded", "current", "same"),
    [
        ("user:u1,key:aa", "user:u1,key:bb", True),
        ("user:u1,key:aa", "user:u2,key:aa", False),
        ("key:aa", "user:u1,key:aa", True),
        ("user:u1,key:aa", "key:bb", None),
        ("key:aa", "key:bb", None),
        ("", "key:bb", None),
        ("", "", None),
    ],
)
def test_two_identities_are_one_account_only_when_a_shared_fact_says_so(
    recorded: str, current: str, same: bool | None
) -> None:
    assert same_account(recorded, current) is same
    assert same_account(current, recorded) is same


def test_a_provider_that_declares_nothing_is_taken_for_the_careful_case() -> None:
    capabilities = Capabilities(guard=GuardWay.NONE)

    assert capabilities.bills
    assert not capabilities.rate_limit_is_proof
    assert not capabilities.can_stop
