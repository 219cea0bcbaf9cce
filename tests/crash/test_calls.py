"""All that whole runs ask of a provider: what is made on the account are machines, nothing else.

So there is no leftover to look for where a client offers no `Leftovers`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.simcloud.orders import Call
from orchestrator.runs.lease import Lease
from tests.crash.elsewhere import ELSEWHERE
from tests.crash.exhaust import Theatre
from tests.crash.stage import Stage
from tests.crash.stories import STORIES, Story

_TURN_S = 2.0
_EVERYWHERE = ("plain", "reply lost", "cancel --now", "host lost while running", "delete lies")
_ALSO = {
    "runpod": [STORIES[name] for name in ("its image cannot be pulled", "kept", "crowded account")],
    "vast": [ELSEWHERE[f"vast: {name}"] for name in ("an id that never appears", "two homes")],
}
# What is not a read. A pod is stopped, or an instance's state set, by nobody: its disk would bill.
_WRITES = {
    "runpod": {("POST", "/v2/pods"), ("DELETE", "/v2/pods/ID"), ("POST", "/graphql")},
    "vast": {
        ("PUT", "/api/v0/asks/ID/"),
        ("DELETE", "/api/v0/instances/ID/"),
        ("POST", "/api/v0/instances/ID/ssh/"),  # a key of the instance, which goes with it
        ("POST", "/api/v0/bundles/"),  # a search
        ("PUT", "/api/v0/instances/request_logs/ID/"),
    },
}


class Record(Theatre):
    """A theatre that keeps what a performance asked of the cloud, and left in the home."""

    def __init__(self, story: Story, folder: Path) -> None:
        folder.mkdir()
        super().__init__(story, folder)
        self.calls: list[Call] = []
        self.leases: list[Lease] = []
        self.ids = {"99000000"}  # of a machine that never was
        self.home = b""

    @contextmanager
    def _stage(self) -> Iterator[Stage]:
        with super()._stage() as stage:
            yield stage
            self.calls, self.leases = [*stage.cloud.world.calls], stage.leases()
            self.ids |= set(stage.cloud.world.machines)
            files = (path for path in stage.home.rglob("*") if path.is_file())
            self.home = b"".join(path.read_bytes() for path in files)

    def asked(self) -> set[tuple[str, str]]:
        """Method and path of each kind of call."""
        return {
            (call.method, re.sub(r"(?<=/)\w+(?=/|$)", lambda part: self._plain(part[0]), call.path))
            for call in self.calls
        }

    def _plain(self, part: str) -> str:
        return "ID" if part in self.ids or part.isdecimal() else part


def performed(story: Story, folder: Path) -> Record:
    made = Record(story, folder)
    made.perform()
    assert made.compared.exchanges == len(made.calls) > 10
    assert not made.compared.unlisted, "\n".join(made.compared.unlisted)
    return made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("provider", _WRITES)
def test_nothing_is_made_or_changed_on_an_account_but_machines(
    provider: str, tmp_path: Path
) -> None:
    shared = STORIES if provider == "runpod" else ELSEWHERE
    begins = "" if provider == "runpod" else f"{provider}: "
    stories = [shared[f"{begins}{name}"] for name in _EVERYWHERE] + _ALSO[provider]

    asked: set[tuple[str, str]] = set()
    for number, story in enumerate(stories):
        asked |= performed(story, tmp_path / str(number)).asked()

    assert {call for call in asked if call[0] != "GET"} == _WRITES[provider]


@pytest.mark.parametrize(
    ("story", "listed"),
    [
        (STORIES["plain"], "/v2/pods"),
        (ELSEWHERE["vast: plain"], "/api/v1/instances/"),
        (ELSEWHERE["lambda: plain"], "/api/v1/instances"),
        (ELSEWHERE["paperspace: plain"], "/v1/machines"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_gone_is_two_full_lists_five_seconds_apart_behind_an_answer_by_id(
    story: Story, listed: str, tmp_path: Path
) -> None:
    record = performed(story, tmp_path / "it")
    (lease,) = record.leases
    since_s, gone_s = lease.delete_accepted_s or 0.0, lease.gone_s or 0.0
    reads = [
        call
        for call in record.calls
        # A list may have waited for its turn since the moment that is written.
        if call.method == "GET" and since_s <= call.at_s <= gone_s + _TURN_S
    ]
    shown_s = [
        call.at_s for call in reads if call.path.rstrip("/").endswith(f"/{lease.machine_id}")
    ]
    lists_s = [call.at_s for call in reads if call.path == listed]

    assert lists_s[-1] - lists_s[0] >= 5.0
    assert shown_s[0] <= lists_s[-2]


@pytest.mark.parametrize(
    ("name", "token"), [("lambda: plain", "secret-{id:.8}"), ("vast: plain", "0" * 64)]
)
def test_a_token_of_an_answer_that_opens_a_machine_is_neither_kept_nor_logged(
    name: str, token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lambda and Vast.ai show one of Jupyter's beside the address."""
    caplog.set_level(logging.DEBUG)

    record = performed(ELSEWHERE[name], tmp_path / "it")

    (lease,) = record.leases
    shown = token.format(id=lease.machine_id)
    assert lease.label.encode() in record.home
    assert shown.encode() not in record.home
    assert "answered status=200" in caplog.text
    assert shown not in caplog.text
