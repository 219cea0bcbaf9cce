"""Edit, submit again: the second run goes on with the machine that the first one keeps."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.books import books_of_both
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person

SAYS = """\
import os, pathlib
import six
print("{words}")
pathlib.Path(os.environ["GPULEASE_OUTPUT"], "said.txt").write_text("{words}")
"""


def job_of(person: Person, words: str) -> str:
    return own_code(person, SAYS.format(words=words), requirements="needs.txt")


@pytest.mark.timeout(300)
def test_an_edited_program_runs_again_on_the_kept_machine(person: Person, cloud: Cloud) -> None:
    person.writes("trainer/needs.txt", "six==1.17.0\n")
    job = job_of(person, "first words")

    kept = person.types("submit", job, "--yes", "--keep", "10m", "--json")

    assert kept.code == 0, kept.err + person.driver_log()
    first = kept.json()
    assert (first["state"], first["outcome"], first["exit_code"]) == ("kept", "succeeded", 0)
    assert first["kept_until"] is not None and Decimal(first["burn_usd_per_hour"]) > 0
    assert Path(first["artifacts_dir"], "said.txt").read_text() == "first words"
    assert len(cloud.living(person.home_id)) == 1
    assert "kept until" in person.types("ps").out
    again = person.types("submit", job, "--yes")
    assert again.code == 2 and f"--reuse {first['run']}" in again.err

    job_of(person, "second words")
    ended = person.types("submit", job, "--yes", "--reuse", "last", "--json")

    assert ended.code == 0, ended.err + person.driver_log()
    second = ended.json()
    assert (second["state"], second["outcome"]) == ("ended", "succeeded")
    assert Path(second["artifacts_dir"], "said.txt").read_text() == "second words"
    assert {one["path"] for one in second["artifacts"]} == {
        one["path"] for one in first["artifacts"]
    }
    log = person.types("logs", second["run"]).out
    assert "second words" in log and "first words" not in log
    assert "the environment is as this job needs it" in log
    assert "boot" not in second["phases_s"]
    assert cloud.living(person.home_id) == []
    receipt = person.types("receipt", first["run"], "--json")
    assert receipt.code == 0 and receipt.json()["returned"]["proven"] is False
    books_of_both(receipt.json(), second, cloud, person.home_id)

    cloud.advance(7300)  # until its bill is complete
    compared = person.types("reconcile", "--json").json()
    (machine,) = compared["machines"]
    assert [run["run"] for run in compared["runs"]] == [first["run"], second["run"]]
    assert [(run["shared"], run["why"]) for run in compared["runs"]] == [(1, ""), (1, "")]
    for figure in ("estimate_usd", "billed_usd", "drift_usd"):
        parts = sum(Decimal(run[figure]) for run in compared["runs"])
        assert parts == Decimal(machine[figure]), figure
    for run in compared["runs"]:
        assert person.view(run["run"])["billed_usd"] == run["billed_usd"]


@pytest.mark.slow
def test_an_edited_program_is_ready_again_in_less_than_half_of_the_first_time(
    person: Person, cloud: Cloud
) -> None:
    person.writes("trainer/needs.txt", "six==1.17.0\nnumpy\n")
    job = job_of(person, "first words")
    (person.desk / "trainer/data.bin").write_bytes(bytes(300 << 20))

    first = person.types("submit", job, "--yes", "--keep", "10m", "--json").json()
    job_of(person, "second words")
    second = person.types("submit", job, "--yes", "--reuse", "last", "--json").json()

    assert (first["outcome"], second["outcome"]) == ("succeeded", "succeeded")
    assert "boot" in first["phases_s"] and "boot" not in second["phases_s"]
    once, again = (one["phases_s"]["ship"] + one["phases_s"]["setup"] for one in (first, second))
    assert again < once / 2, f"{again} s, and {once} s at first"
    books_of_both(person.view(first["run"]), second, cloud, person.home_id)


@pytest.mark.slow
def test_a_kept_machine_goes_back_by_itself_and_on_wish(person: Person, cloud: Cloud) -> None:
    job = own_code(person)
    person.types("submit", job, "--yes", "--keep", "10m")
    with cloud.hurrying(20.0):
        view = person.waits(lambda view: view["state"] == "ended")
    assert view["returned"]["proven"] is True and view["exit_code"] == 0

    person.types("submit", job, "--yes", "--keep", "10m")
    cancelled = person.types("cancel", "last", "--wait")

    assert cancelled.code == 0, cancelled.err
    assert cloud.living(person.home_id) == []
    assert [one["ended_by"] for one in cloud.machines(person.home_id)] == ["api", "api"]


@pytest.mark.slow
def test_a_kept_machine_ends_itself_where_nobody_is_left_to_end_it(
    person: Person, cloud: Cloud
) -> None:
    person.types("submit", own_code(person), "--yes", "--keep", "10m")
    (machine,) = cloud.living(person.home_id)
    person.kills_driver()

    cloud.advance(600)

    cloud.waits_for(machine["id"], ended_by="self", step_s=20)
    view = person.waits(lambda view: view["state"] == "ended")
    assert view["returned"]["proven"] is True
    assert (view["outcome"], view["artifacts_missing"]) == ("succeeded", [])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_the_kept_machine_is_not_is_refused_with_the_reason(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(person)
    none = person.types("submit", job, "--yes", "--reuse", "last")
    first = person.types("submit", job, "--yes", "--keep", "20m", "--json").json()
    reuse = ["submit", job, "--yes", "--reuse", first["run"]]

    elsewhere = person.types(*reuse, "--provider", "local")
    larger = person.types(*reuse, "--set", "gpu.memory_gib=80")
    image = person.types(*reuse, "--set", "image=somebody/else:1")
    poor = person.types(*reuse, "--max-cost", "0.01")
    long = person.types(*reuse, "--keep", "5h")

    assert none.code == 2 and "there is no run yet" in none.err
    assert elsewhere.code == 3 and "it is on runpod" in elsewhere.err
    assert larger.code == 3 and "16 GiB per GPU, 80 needed" in larger.err
    assert image.code == 3 and "somebody/else:1" in image.err
    assert poor.code == 5 and "does not pay for a minute" in poor.err
    assert long.code == 5
    for refused in (elsewhere, larger, image):
        assert "submit without --reuse" in refused.err
    assert person.view()["run"] == first["run"]
    assert person.types("cancel", "last", "--wait").code == 0
