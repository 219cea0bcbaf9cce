"""Accounts, keys, prices and tokens that do not allow the job: told before anything is rented."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person
from tests.e2e.refused import TICKETS, creates, refused, tickets

GATED = TICKETS.replace("tiny-bert", "gated-bert")


def test_without_a_key_it_says_how_to_give_one(person: Person, cloud: Cloud) -> None:
    del person.env["RUNPOD_API_KEY"]

    error = refused(person, cloud, own_code(person), exit_code=4, code="credentials")

    assert error["problem"] == "no key for RunPod"
    assert error["hint"] == "gpulease login runpod, or set RUNPOD_API_KEY"


def test_a_refused_key_is_to_be_corrected_where_it_came_from(person: Person, cloud: Cloud) -> None:
    person.env["RUNPOD_API_KEY"] = "rpa_of_yesterday"

    error = refused(person, cloud, own_code(person), exit_code=4, code="credentials")

    assert error["problem"] == "the key was refused: runpod answered HTTP 401: invalid api key"
    assert error["hint"] == (
        "correct RUNPOD_API_KEY in the environment, or unset it and gpulease login runpod"
    )
    assert "rpa_of_yesterday" not in str(error)


def test_a_key_of_this_terminal_alone_is_not_enough_to_detach(person: Person, cloud: Cloud) -> None:
    error = refused(person, cloud, own_code(person), "--detach", exit_code=4, code="credentials")

    assert error["problem"].startswith("RUNPOD_API_KEY is only in this terminal's environment")
    assert error["hint"] == "gpulease login runpod, or --ephemeral-keys"


def test_a_cap_below_every_price_is_answered_with_one_that_would_do(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(person, max_cost="0.05")

    error = refused(person, cloud, job, exit_code=5, code="budget")

    assert error["problem"].startswith("no offer fits under the cap: ")
    assert "does not pay for a minute of work at $0.18/h" in error["problem"]
    assert error["hint"].startswith("set budget.max_cost to $")


def test_yes_agrees_to_no_cap(person: Person, cloud: Cloud) -> None:
    job = tickets(person, TICKETS.replace("max_cost: 1.00, ", ""))

    error = refused(person, cloud, job, exit_code=5, code="budget")

    assert error["problem"] == "tickets has no cap, and --yes agrees to none"
    assert error["hint"].startswith("add --max-cost ")


def test_a_gpu_that_nobody_rents_out_is_answered_with_the_nearest(
    person: Person, cloud: Cloud
) -> None:
    job = tickets(person, TICKETS.replace("{allow_cpu: true}", "{memory_gib: 900}"))

    error = refused(person, cloud, job, exit_code=3, code="no_offer")

    assert error["problem"] == "nothing that is for rent now fits this job"
    assert error["hint"] == (
        "a job that fits 16 GiB (a smaller batch, or lora) would allow RTX A4000 on runpod at "
        "$0.18/h"
    )


def test_when_everything_is_sold_out_each_offer_was_tried_once(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(person, max_cost="10.00")
    before = creates(cloud)
    cloud.fault("no_capacity", times=None)

    ended = person.types("submit", job, "--yes", "--json")

    assert ended.code == 3, ended.err
    receipt = ended.json()
    assert (receipt["outcome"], receipt["error"]["code"]) == ("no_capacity", "no_capacity")
    assert re.fullmatch(
        r"none of the 9 offers of the plan could be rented; the last one: .* available with .*",
        receipt["error"]["problem"],
    )
    assert receipt["error"]["hint"].startswith("submit again later")
    assert creates(cloud) - before == 9
    assert cloud.machines(person.home_id) == []
    assert receipt["machines"] == []
    assert (receipt["spent_upper_usd"], receipt["cost_usd"]) == ("0.00", "0.00")
    page = person.types("receipt", "last")
    assert page.code == 3
    assert "nothing was rented" in page.out
    assert Decimal(person.types("ps", "--json").json()["month"]["committed_usd"]) == 0


def test_a_gated_model_asks_for_a_token(person: Person, cloud: Cloud) -> None:
    job = tickets(person, GATED)

    error = refused(person, cloud, job, exit_code=4, code="credentials")

    assert error["problem"] == "model simcloud/gated-bert is gated, and it needs a token"
    assert error["hint"] == (
        f"ask for access at {cloud.env['HF_ENDPOINT']}/simcloud/gated-bert, "
        "then set HF_TOKEN, or run `gpulease login huggingface`"
    )


def test_a_gated_model_asks_for_access(person: Person, cloud: Cloud) -> None:
    person.env["HF_TOKEN"] = "hf_sim_denied"

    error = refused(person, cloud, tickets(person, GATED), exit_code=4, code="credentials")

    assert error["problem"] == (
        "model simcloud/gated-bert is gated, and the token in use has no access to it"
    )
    assert error["hint"] == f"ask for access at {cloud.env['HF_ENDPOINT']}/simcloud/gated-bert"


def test_a_secret_without_a_value_is_named(person: Person, cloud: Cloud) -> None:
    job = own_code(person, more="secrets: [WANDB_API_KEY]\n")

    error = refused(person, cloud, job, exit_code=4, code="credentials")

    assert (
        error["problem"] == "the job needs the secret WANDB_API_KEY, and there is no value for it"
    )
    assert "gpulease login WANDB_API_KEY" in error["hint"]


LOOKS_FOR_THE_TOKEN = """\
import json, os, pathlib, stat
work = pathlib.Path(os.environ["GPULEASE_OUTPUT"]).parent
token = os.environ["HF_TOKEN"].encode()
def holds_it(path):
    try:
        return token in path.read_bytes()
    except OSError:  # a process that has ended meanwhile
        return False
place = (work / "secrets.json").resolve()
tops = [work, pathlib.Path("/etc/rp_environment"), pathlib.Path("/run")]
looked = [path for top in tops for path in (top, *top.rglob("*")) if path.is_file()]
looked += [pathlib.Path("/proc/1/environ"), *pathlib.Path("/proc").glob("[0-9]*/cmdline")]
report = {
    "model": sorted(os.listdir(os.environ["GPULEASE_MODEL"])),
    "mode": oct(stat.S_IMODE(place.stat().st_mode)),
    "folder": str(place.parent),
    "looked": len(looked),
    "found": [str(path) for path in looked if path.resolve() != place
              and holds_it(path)],
}
(work / "output" / "report.json").write_text(json.dumps(report))
"""


def test_a_token_with_access_opens_a_gated_model_and_lies_nowhere_but_in_memory(
    person: Person, cloud: Cloud
) -> None:
    person.env["HF_TOKEN"] = "hf_sim_of_ada_0123456789"
    job = own_code(person, LOOKS_FOR_THE_TOKEN, more="model: simcloud/gated-bert\n")

    with person.starts("submit", job, "--yes", "--json") as process:
        person.waits_for_state("returning")
        (driver,) = person.driver_ids()
        for name in ("environ", "cmdline"):
            assert b"of_ada" not in Path(f"/proc/{driver}/{name}").read_bytes()
        with cloud.hurrying():
            ended = person.ends(process)

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = ended.json()
    report = json.loads(Path(receipt["artifacts_dir"], "report.json").read_text())
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(report["model"])
    assert (report["mode"], report["folder"], report["found"]) == ("0o600", "/dev/shm", [])
    assert report["looked"] > 10
    (machine,) = books_agree(receipt, person, cloud)
    assert "of_ada" not in cloud.boot_log(machine["id"])
    assert "HF_TOKEN on this machine, over SSH" in ended.err  # the plan said so
    assert "of_ada" not in ended.err + ended.out
    at_home = [path for path in person.home.parent.rglob("*") if path.is_file()]
    assert not [path for path in at_home if b"of_ada" in path.read_bytes()]
