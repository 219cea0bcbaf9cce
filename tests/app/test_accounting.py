from __future__ import annotations

from decimal import Decimal

import pytest

from orchestrator.app import App
from orchestrator.errors import UsageError
from orchestrator.spec.resources import Need


def test_an_empty_home_has_no_runs_machines_or_spending(app: App) -> None:
    assert app.runs(all_runs=True) == []
    assert app.machines() == ([], [])
    assert app.reap(delete=False, past_deadline=False, report=print) == ([], [])
    assert app.month_usd() == (Decimal(0), Decimal(0), Decimal(100))
    assert app.offers(Need(), []) == ([], [])


def test_a_key_is_verified_only_for_a_known_provider(app: App) -> None:
    with pytest.raises(UsageError, match="nobody is no provider"):
        app.verify_key("nobody", "key")
