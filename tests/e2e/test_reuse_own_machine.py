"""Edit, submit again, on machines that cost nothing: this computer and a workstation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.simcloud.hub_models import MINILM_ID, TINY_ID
from tests.e2e.jobs import WRITES_A_RESULT, own_code
from tests.e2e.person import Person
from tests.e2e.test_own_code import write_wheel
from tests.providers.ssh_host.workstation import Workstation

TELLS = """\
import json, os, pathlib, sys
import greeting, six
code, data = pathlib.Path.cwd(), pathlib.Path(os.environ["GPULEASE_DATA"])
found = {
    "words": "WORDS",
    "folder": str(code),
    "environment": os.stat(os.path.join(sys.prefix, "pyvenv.cfg")).st_ino,
    "six": six.__version__,
    "greeting": greeting.hello("Ada"),
    "code": sorted(str(one.relative_to(code)) for one in code.rglob("*") if one.is_file()),
    "rows": {one.name: one.read_text() for one in data.iterdir()},
    "model": sorted(one.name for one in (data.parent / "model").glob("*")),
}
(code / "left-behind").mkdir()
(code / "left-behind/scratch.txt").write_text("of a program")
pathlib.Path(os.environ["GPULEASE_OUTPUT"], "found.json").write_text(json.dumps(found))
"""


class Bench:
    """Somebody who submits again and again on a machine of their own."""

    def __init__(self, person: Person, provider: str) -> None:
        self.person = person
        self._on = ("--on", provider)
        self.needs("six==1.17.0", "Hello")
        self.rows("one", "two")

    def needs(self, lock: str, greeting: str) -> None:
        wheel = write_wheel(self.person.desk / "trainer/wheels", greeting)
        self.person.writes("trainer/needs.txt", f"{lock}\nwheels/{wheel}\n")

    def rows(self, train: str, evaluation: str = "") -> None:
        self.person.writes("train.txt", train)
        self._data = "data: {train: train.txt"
        if evaluation:
            self.person.writes("eval.txt", evaluation)
            self._data += ", eval: eval.txt"
        self._data += "}\n"

    def runs(self, words: str, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """(the run as its command prints it, what its program saw)."""
        script = TELLS.replace("WORDS", words)
        job = own_code(self.person, script, requirements="needs.txt", more=self._data)
        job_file = self.person.desk / job
        job_file.write_text(job_file.read_text().replace("providers: [runpod]\n", ""))
        ended = self.person.types("submit", job, "--yes", "--json", *self._on, *options)
        assert ended.code == 0, ended.err + self.person.driver_log()
        view = ended.json()
        found = json.loads(Path(view["artifacts_dir"], "found.json").read_text())
        assert found["words"] == words
        return view, found


def edits_and_runs_again(bench: Bench) -> None:
    person = bench.person
    person.writes("trainer/parts/old.py", "")
    first, saw = bench.runs("first", "--keep", "20m")
    assert (first["state"], first["outcome"]) == ("kept", "succeeded")
    assert saw["rows"] == {"train.txt": "one", "eval.txt": "two"}
    assert "parts/old.py" in saw["code"]

    (person.desk / "trainer/parts/old.py").unlink()
    person.writes("trainer/parts/new.py", "")
    bench.rows("three")
    second, sees = bench.runs("second", "--reuse", "last", "--keep", "20m")

    assert (second["state"], second["kept_until"] is not None) == ("kept", True)
    assert [one["label"] for one in second["machines"]] == [first["machines"][0]["label"]]
    assert (sees["folder"], sees["environment"]) == (saw["folder"], saw["environment"])
    assert sees["rows"] == {"train.txt": "three"}
    assert sees["code"] == sorted({*saw["code"], "parts/new.py"} - {"parts/old.py"})
    assert not {"rent", "boot"} & second["phases_s"].keys()
    assert "the environment is as this job needs it" in person.types("logs", second["run"]).out

    bench.needs("six==1.17.0", "Good day")
    third, sees = bench.runs("third", "--reuse", "last", "--keep", "20m")
    assert (sees["six"], sees["greeting"]) == ("1.17.0", "Good day, Ada!")

    bench.needs("six==1.16.0", "Good day")
    last, sees = bench.runs("fourth", "--reuse", third["run"])
    assert (sees["six"], sees["greeting"]) == ("1.16.0", "Good day, Ada!")
    assert sees["folder"] == saw["folder"]
    assert (last["state"], last["returned"]["proven"]) == ("ended", True)
    assert person.types("ps", "--json").json()["runs"] == []
    for receipt in (person.types("receipt", run, "--json") for run in (first["run"], last["run"])):
        assert (receipt.code, receipt.json()["spent_upper_usd"]) == (0, "0.00")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_this_computer_an_edited_program_runs_again_where_it_ran(person: Person) -> None:
    edits_and_runs_again(Bench(person, "local"))

    assert list((person.home / "gpulease").glob("gl1-*")) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_a_workstation_an_edited_program_runs_again_where_it_ran(
    owner: Person, tower: Workstation
) -> None:
    before = tower.listing()

    edits_and_runs_again(Bench(owner, "ssh_host"))

    assert tower.listing() == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_another_model_of_the_hub_takes_the_place_of_the_one_before(person: Person) -> None:
    tells = (
        "import json, os, pathlib\n"
        'model = pathlib.Path(os.environ["GPULEASE_MODEL"])\n'
        'facts = json.loads((model / "config.json").read_text())\n'
        'facts["files"] = sorted(str(one.relative_to(model)) for one in model.rglob("*"))\n'
        'pathlib.Path(os.environ["GPULEASE_OUTPUT"], "facts.json").write_text(json.dumps(facts))\n'
        '(model / "adapter_config.json").write_text("left behind")\n'
    )
    job = own_code(person, tells)

    def runs(model: str, *options: str) -> dict[str, Any]:
        on = ("--provider", "local", "--set", f"model={model}")
        ended = person.types("submit", job, "--yes", "--json", *on, *options)
        assert ended.code == 0, ended.err + person.driver_log()
        facts = json.loads(Path(ended.json()["artifacts_dir"], "facts.json").read_text())
        assert isinstance(facts, dict)
        return facts

    small = runs(TINY_ID, "--keep", "20m")
    large = runs(MINILM_ID, "--reuse", "last", "--keep", "20m")
    again = runs(MINILM_ID, "--reuse", "last", "--keep", "20m")
    none = person.types("submit", job, "--yes", "--on", "local", "--reuse", "last")

    assert small["hidden_size"] != large["hidden_size"] == 384
    assert "model.safetensors" in large["files"] and "adapter_config.json" not in large["files"]
    assert again == large
    assert none.code == 1 and "config.json" in person.types("logs", "last").out


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kept_workstation_is_nobody_elses_and_outlives_a_restart(
    owner: Person, tower: Workstation
) -> None:
    before = tower.listing()
    job = own_code(owner, WRITES_A_RESULT)
    other = own_code(owner, WRITES_A_RESULT, name="other")
    text = (owner.desk / other).read_text().replace("allow_cpu: true", "memory_gib: 20")
    (owner.desk / other).write_text(text)
    on = ("submit", job, "--on", "ssh_host", "--yes", "--json")
    kept = owner.types(*on, "--keep", "20m")
    assert kept.json()["state"] == "kept", kept.err + owner.driver_log()
    assert kept.json()["offer"]["id"] == "tower L4 x1"
    assert owner.types("submit", other, "--on", "ssh_host", "--yes").code == 3
    elsewhere = owner.types("submit", job, "--yes", "--reuse", "last")
    assert elsewhere.code == 3 and "--on ssh_host:tower" in elsewhere.err

    tower.reboots()
    owner.kills_driver()
    reused = owner.types(*on, "--reuse", "last", "--keep", "20m")
    assert reused.json()["state"] == "kept", reused.err + owner.driver_log()
    assert tower.listing() != before
    ended = owner.types("cancel", "last", "--wait")

    assert ended.code == 0, ended.err + owner.driver_log()
    assert owner.view()["returned"]["proven"] is True
    assert tower.listing() == before
