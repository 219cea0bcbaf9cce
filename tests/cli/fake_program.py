"""`gpulease` over a FakeApp, as a process of its own: for tests that need a real terminal.

FAKE_SLOW=1: the run does not end by itself. FAKE_FLOOD=1: its log has 1,000 lines.
FAKE_SOLD_OUT=1: nothing that fits is for rent.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from orchestrator.cli.main import main
from orchestrator.runs.view import RunView
from tests.cli.fake_app import FakeApp, open_view


class SlowApp(FakeApp):
    """A run that is still at it after the test's patience."""

    def follow(self, run_id: str) -> Iterator[RunView]:
        for step in range(600):
            yield open_view("running", progress={"step": step, "steps": 600, "loss": 0.5})
            time.sleep(0.1)


if __name__ == "__main__":
    app = SlowApp() if os.environ.get("FAKE_SLOW") else FakeApp()
    if os.environ.get("FAKE_NO_CAP"):
        app.plan_view["cap_usd"] = None
    if os.environ.get("FAKE_SOLD_OUT"):
        app.plan_view["offers"] = []
    if os.environ.get("FAKE_FLOOD"):
        app.log = [f"line {number}" for number in range(1000)]
    sys.exit(main(make_app=lambda settings: app))
