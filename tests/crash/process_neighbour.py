"""Another home on the same account, in the suite with real processes; nobody dies in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.crash.process_records import RESULT
from tests.crash.process_stories import Story
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, WRITES_A_RESULT, own_code
from tests.e2e.person import Person


class Neighbour:
    """Their run is submitted before the story's, and ends after it."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], cloud: Cloud, story: Story
    ) -> None:
        """`environment` leads straight to the cloud: nothing of theirs is watched."""
        self._cloud = cloud
        self._person = Person(folder / "neighbour", environment)
        job = own_code(
            self._person,
            WAITS + WRITES_A_RESULT,
            max_cost=story.max_cost,
            max_duration=story.max_duration,
            providers=", ".join(story.providers),
            more=story.more,
        )
        self._run = self._person.submits(job)

    def owns(self, machine: Mapping[str, Any]) -> bool:
        """Whether a machine of the account is theirs."""
        return f"-{self._person.home_id}-" in machine["label"]

    def ends(self) -> Iterator[str]:
        """Let their program go on to its end; one sentence for each thing that is not as it should
        be, whatever the story did meanwhile.
        """
        self._cloud.says_go(self._run)
        with self._cloud.hurrying(2.0):
            ended = self._person.types("attach", self._run)
        view = self._person.types("receipt", self._run, "--json").json()
        if ended.code or view["returned"]["proven"] is not True:
            yield f"the other home's run ended with exit code {ended.code}: {view['error']}"
        machines = [one for one in self._cloud.machines() if self.owns(one)]
        if [one["ended_by"] for one in machines] != ["api"]:
            yield f"the other home had {len(machines)} machines: {machines}"
        billed = sum((Decimal(one["billed_usd"]) for one in machines), Decimal(0))
        if not billed <= Decimal(view["spent_upper_usd"]) <= Decimal(view["cap_usd"]):
            yield f"the other home counts ${view['spent_upper_usd']}, billed ${billed}"
        path = Path(view["artifacts_dir"], "result.txt")
        if not path.is_file() or path.read_bytes() != RESULT:
            yield "the other home's result is not at home"

    def close(self) -> None:
        self._person.kills_driver()
