"""A run goes on by itself: followed, left, and found again where its log stood."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import WAITS, own_code
from tests.e2e.person import Person
from tests.e2e.places import Place, everywhere

COUNTS = """\
import itertools, os, pathlib, time
word = pathlib.Path(os.environ["GPULEASE_CLOCK"]).with_name(os.environ["GPULEASE_RUN"])
for number in itertools.count(1):
    print("line", number, flush=True)
    if word.exists():
        break
    time.sleep(0.01)
print("counted to", number)
"""


ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def numbers(said: str) -> list[int]:
    """The lines of COUNTS in what a command printed."""
    return [int(number) for number in re.findall(r"\bline (\d+)\b", ESCAPES.sub("", said))]


def reads_until(process: subprocess.Popen[str], last: int) -> str:
    """What a command prints until it shows a line of COUNTS."""
    assert process.stdout is not None
    said = ""
    while f"line {last}\n" not in said and f'line {last}"' not in said:
        line = process.stdout.readline()
        assert line, f"it ended after {said[-500:]}"
        said += line
    return said


def leaves(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; what the command said from then on."""
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    assert process.wait(10) == 130, err
    assert re.search(r"the run goes on: gpulease attach \w{8}", err)
    return out


@pytest.mark.slow
@everywhere
def test_what_was_left_is_attached_to_where_its_log_stood(person: Person, place: Place) -> None:
    job = own_code(person, COUNTS, providers=place.provider)
    with person.starts("submit", job, "--yes", "--json") as process:
        person.waits_for_state("running")
        view = json.loads(leaves(process))
    assert (view["state"], view["outcome"]) == ("running", None)

    with person.starts("attach", view["run"]) as process:
        plain = reads_until(process, 40)
        plain += leaves(process)
    with person.starts("attach", "mine", "--json") as process:
        streamed = reads_until(process, numbers(plain)[-1] + 40)
        streamed += leaves(process)
    shown = person.types("ps", "--json").json()["runs"]
    assert [one["run"] for one in shown] == [view["run"]]
    (machine,) = person.types("machines", "--json").json()["machines"]
    assert (machine["whose"], machine["run"]) == ("ours", view["run"])
    assert person.types("reap", "--delete", "--json").json()["machines"] == []
    with person.starts("logs", "last", "-f", "--json") as logs:
        place.says_go(view["run"])
        person.waits_for_state("returning")
        with place.hurrying():
            last = person.types("attach", "last", "--json")
            followed = person.ends(logs)

    assert last.code == 0, last.err
    events = [json.loads(line) for line in (streamed + last.out).splitlines()]
    assert {event["event"] for event in events} == {"log", "run"}
    told = numbers(plain) + numbers("\n".join(one.get("line", "") for one in events))
    assert told == list(range(1, told[-1] + 1))
    assert any(one.get("line") == f"counted to {told[-1]}" for one in events)
    assert events[-1]["outcome"] == "succeeded"
    everything = [json.loads(line)["line"] for line in followed.out.splitlines()]
    assert numbers("\n".join(everything)) == told
    assert everything[-1] == Path(events[-1]["log"]).read_text().splitlines()[-1]
    place.has_all_back(person.view(), person)


def test_ctrl_c_on_a_terminal_leaves_the_run_and_attach_goes_on_below_it(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(person, COUNTS)
    with Terminal(
        "submit",
        job,
        environment=person.env,
        program=("-m", "orchestrator"),
        place=person.desk,
        patience_s=60,
    ) as terminal:
        terminal.wait_for("Rent, for at most $1.00? [y/N]")
        assert cloud.machines(person.home_id) == []
        terminal.type("y\n")
        terminal.wait_for("line 40")
        terminal.type("\x03")
        assert terminal.end() == 130
        before = numbers(terminal.raw.decode())
        assert "the run goes on: gpulease attach" in terminal.text

    cloud.says_go(person.view()["run"])
    person.waits_for_state("returning")
    with cloud.hurrying():
        after = person.types("attach", "last")

    assert after.code == 0, after.err
    told = before + numbers(after.out)
    assert told == list(range(1, told[-1] + 1))
    assert f"counted to {told[-1]}" in after.out
    books_agree(person.view(), person, cloud)


@pytest.mark.slow
@everywhere
def test_a_second_submit_of_the_same_job_follows_the_first(person: Person, place: Place) -> None:
    job = own_code(person, WAITS, providers=place.provider)
    with (
        person.starts("submit", job, "--yes", "--json") as first,
        person.starts("submit", job, "--yes", "--json") as second,
    ):
        person.waits_for_state("running")
        run_id = person.view()["run"]
        assert len(place.machines(person)) == 1
        other_id = person.submits(job, "--again")
        assert other_id != run_id
        person.waits(lambda view: view["run"] == other_id and view["state"] == "running")
        assert len(place.machines(person)) == 2
        place.says_go(run_id)
        place.says_go(other_id)
        with place.hurrying():
            receipts = [person.ends(first), person.ends(second)]
            assert person.types("attach", other_id).code == 0

    assert [ended.code for ended in receipts] == [0, 0]
    assert {ended.json()["run"] for ended in receipts} == {run_id}
    (follower,) = (one for one in receipts if "is already open as" in one.err)
    assert f"mine is already open as {run_id}; --again makes another" in follower.err
    runs = person.types("ps", "--all", "--json").json()["runs"]
    assert {one["run"] for one in runs} == {run_id, other_id}
    assert len({one["name"] for one in runs}) == 2
    ended = [one for view in runs for one in view["machines"]]
    assert [one["returned"]["by"] for one in ended] == ["provider", "provider"]
    assert place.machines(person) == []
