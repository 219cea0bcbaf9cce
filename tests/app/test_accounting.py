from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.app import App
from orchestrator.errors import MissingCredentials, UsageError
from orchestrator.settings import load_settings
from orchestrator.spec.resources import Need


def test_an_empty_home_has_no_runs_machines_or_spending(app: App) -> None:
    assert app.runs(all_runs=True) == []
    assert app.machines() == ([], [])
    assert app.reap(delete=False, past_deadline=False, report=print) == ([], [])
    assert app.month_usd() == (Decimal(0), Decimal(0), Decimal(100))
    assert app.offers(Need(), []) == ([], [])


def test_a_reaper_without_any_key_fails_and_leaves_no_sign_of_life(
    home: Path, tmp_path: Path
) -> None:
    place = tmp_path / "heartbeat"
    config = tmp_path / "config.toml"
    config.write_text(f'[reaper]\nheartbeat = "{place}"\n')
    app = App(load_settings(home, {"GPULEASE_CONFIG": str(config)}))

    assert app.reap(delete=True, past_deadline=False, report=print) == ([], [])
    with pytest.raises(MissingCredentials, match="nothing was searched"):
        app.reap(delete=True, past_deadline=True, report=print)
    assert not place.exists()


def test_a_key_is_verified_only_for_a_known_provider(app: App) -> None:
    with pytest.raises(UsageError, match="nobody is no provider"):
        app.verify_key("nobody", "key")
