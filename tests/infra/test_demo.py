from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal

import pytest

from infra.demo import LastRun, Rented, bare_environment, compare, read_exports


def test_the_demo_cannot_reach_a_real_account() -> None:
    mine = {
        "PATH": os.defpath,
        "RUNPOD_API_KEY": "real",
        "HF_TOKEN": "real",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_ACCESS_KEY_ID": "real",
        "GPULEASE_HOME": "/mine",
        "GPULEASE_RUNPOD_URL": "https://real",
    }

    assert set(bare_environment(mine)) == {"PATH", "PYTHON_KEYRING_BACKEND"}


def test_the_clouds_file_of_exports_is_read_as_a_shell_would() -> None:
    text = "# made by simcloud\nexport A='it'\\''s here'\nexport B=http://127.0.0.1:1/v1\n"

    assert read_exports(text) == {"A": "it's here", "B": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("rented", "agrees"),
    [
        ([Rented("m1", "api", Decimal("0.031"))], True),
        ([Rented("m1", "api", Decimal("0.036"))], False),
        ([Rented("m1", "api", Decimal("0.05"))], False),
        ([Rented("m1", None, Decimal("0.03"))], False),
        ([Rented("m1", "api", Decimal("0.02")), Rented("m2", "self", Decimal("0.01"))], True),
    ],
)
def test_the_receipt_is_held_against_the_clouds_own_records(
    rented: list[Rented], agrees: bool
) -> None:
    receipt = LastRun(
        ended=True,
        artifacts_dir="",
        cost_usd=Decimal("0.03"),
        upper_usd=Decimal("0.035"),
        tick_usd=Decimal("0.01"),
        proven=True,
    )

    assert compare(receipt, rented) is agrees
    assert not compare(replace(receipt, proven=False), rented)
