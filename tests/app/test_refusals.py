from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app import App
from orchestrator.errors import MissingCredentials
from tests.lifecycle.jobs import own_code


def test_a_secret_without_a_value_is_refused_before_anything_is_rented(
    app: App, tmp_path: Path
) -> None:
    job = own_code(tmp_path, "providers: [local]\nsecrets: [WANDB_API_KEY]\n")

    with pytest.raises(MissingCredentials, match="WANDB_API_KEY") as caught:
        app.plan(job)

    assert caught.value.hint == "gpulease login WANDB_API_KEY, or set it in the environment"
