"""The checks of tests/live against simulated clouds, so that no slip in them costs real money."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conventions.source import PROJECT
from tests.e2e.cloud import Cloud
from tests.e2e.person import Person

LIMIT_S = 900.0
# A background driver has 20 s of this time to start in.
_SOFTLY_S = 0.6


@dataclass(frozen=True)
class Story:
    """One provider's checks: what its simulated cloud does, and what they then see."""

    provider: str
    step_s: float  # goes by in each fifth of a second
    switches: Mapping[str, object] = field(default_factory=dict)
    # Checks that cannot pass here, and why.
    otherwise: Mapping[str, str] = field(default_factory=dict)
    days_later: str = ""  # these look back at what the others rented


STORIES = (
    Story(
        "runpod",
        _SOFTLY_S,
        {"refuses_urllib": True, "calls_per_minute": 600},
        {
            "test_pagination": "bills come without a word about pages",
            "test_funds_refusal": "the account is rich",
            "test_error_bills": "a command that is not there is started again and again",
        },
        "billing_lag",
    ),
    Story(
        "vast",
        _SOFTLY_S,
        {"thresholds": True, "search_cap": 1000},
        {
            "test_exited_bills": "a container whose first process ended is started again",
            "test_retry_after": "a refusal names its threshold, and no header says more",
        },
        "pull_traffic",
    ),
    Story(
        "lambda",
        2.0,
        {"launch_every_s": 12.0},
        {
            "test_same_key_twice": "two names of one key are taken",
            "test_old_host_redirects": "it asks Lambda's own host",
        },
    ),
    Story("paperspace", 10.0, otherwise={"test_template_by_label": "its catalog is small"}),
)


@pytest.fixture(params=STORIES, ids=lambda story: story.provider)
def story(request: pytest.FixtureRequest) -> Story:
    made: Story = request.param
    return made


@pytest.fixture
def cloud(story: Story, environment: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    options = ("--boot-s", "0.5", "--no-hub", "--providers", story.provider)
    made = Cloud(tmp_path / "cloud", environment, *options)
    made.switch(**story.switches)
    yield made
    made.close()


def checked(story: Story, person: Person, *options: str) -> dict[str, str]:
    """Which checks did not pass, and what they said."""
    report = person.desk / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    command += [f"tests/live/test_{story.provider}.py", f"--junit-xml={report}"]
    own = {
        "GPULEASE_LIVE": "1",
        "VAST_READ_ONLY_API_KEY": person.env.get("SIMCLOUD_VAST_READ_ONLY_KEY", ""),
    }
    subprocess.run(command, cwd=PROJECT, env={**person.env, **own}, check=False, timeout=LIMIT_S)
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    assert cases
    return {
        str(case.get("name")): f"{one.tag}: {one.get('message')}"
        for case in cases
        for one in case
        if one.tag in ("skipped", "failure", "error")
    }


@pytest.mark.slow
@pytest.mark.timeout(2 * LIMIT_S)
def test_every_check_of_a_real_account_runs_to_its_end_on_a_simulated_one(
    story: Story, cloud: Cloud, person: Person
) -> None:
    with cloud.hurrying(story.step_s):
        told = checked(story, person)
    if story.days_later:
        cloud.advance(2 * 86_400)
        earlier = [name for name in told if story.days_later in name]
        assert [told.pop(name)[:7] for name in earlier] == ["skipped"]
        told |= checked(story, person, "-k", story.days_later)

    assert set(told) == set(story.otherwise), told
    assert cloud.living() == []
