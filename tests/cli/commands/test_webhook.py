from __future__ import annotations

import json

from orchestrator.notify.schema import event_schema
from tests.cli.conftest import Gpulease


def test_the_schema_is_printed_for_receivers(gpulease: Gpulease) -> None:
    assert json.loads(gpulease("webhook").out) == event_schema()
    assert gpulease("webhook", "--json").json() == event_schema()
