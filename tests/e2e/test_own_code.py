"""A person's own code, from the command line to the result."""

from __future__ import annotations

import json
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code
from tests.e2e.person import Person

GREETS = """\
import json, os, pathlib
import greeting, six
words = greeting.hello(os.environ["WHOM"])
print(words)
out = pathlib.Path(os.environ["GPULEASE_OUTPUT"])
(out / "said.txt").write_text(f"{words} (six {six.__version__})")
pathlib.Path(os.environ["GPULEASE_METRICS"]).write_text(json.dumps({"length": len(words)}))
"""


def write_wheel(folder: Path, greeting: str = "Hello") -> str:
    """A wheel of one module, made by hand; its file name."""
    name = "greeting-1.0-py3-none-any.whl"
    info = "greeting-1.0.dist-info"
    members = {
        "greeting.py": f'def hello(whom):\n    return f"{greeting}, {{whom}}!"\n',
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for member, text in {**members, f"{info}/RECORD": record}.items():
            wheel.writestr(member, text)
    return name


def test_own_code_with_its_requirements_is_run_and_its_result_comes_home(
    person: Person, cloud: Cloud, tmp_path: Path
) -> None:
    wheel = write_wheel(person.desk / "trainer/wheels")
    person.writes("trainer/needs.txt", f"./wheels/{wheel}\nsix==1.17.0\n")
    job = own_code(person, GREETS, requirements="needs.txt", more="env: {WHOM: Ada}\n")

    ended = person.types("submit", job, "--yes", "--json")

    assert ended.code == 0, ended.err + person.driver_log()
    receipt = ended.json()
    assert (receipt["outcome"], receipt["error"]) == ("succeeded", None)
    assert receipt["metrics"] == {"length": 11.0}
    assert receipt["device"] == "cpu"
    assert {one["path"] for one in receipt["artifacts"]} >= {"said.txt", "metrics.json", "log.txt"}
    result = Path(receipt["artifacts_dir"], "said.txt")
    assert result.read_text() == "Hello, Ada! (six 1.17.0)"
    books_agree(receipt, person, cloud)

    assert person.types("receipt", "mine", "--json").json() == receipt
    page = person.types("receipt", receipt["run"][:4])
    assert page.code == 0
    assert "proven gone" in page.out
    assert "trained on the CPU" in page.out
    assert "Hello, Ada!" in person.types("logs", "last").out
    lines = [json.loads(line) for line in person.types("logs", "last", "--json").out.splitlines()]
    assert [line["line"] for line in lines if "Hello" in line["line"]] == ["Hello, Ada!"]
    assert lines[-1]["offset"] == Path(receipt["log"]).stat().st_size
    pulled = person.types("pull", "mine", "--to", str(tmp_path / "copy"), "--json")
    assert pulled.code == 0
    assert (tmp_path / "copy/said.txt").read_bytes() == result.read_bytes()
    assert person.types("ps", "--json").json()["runs"] == []
    (known,) = person.types("ps", "--all", "--json").json()["runs"]
    assert known == receipt
    machines = person.types("machines", "--json").json()
    assert (machines["machines"], machines["failures"]) == ([], [])
    assert person.types("reap", "--delete", "--json").json()["machines"] == []
    assert "has no machine" in person.types("ssh", "mine").err


@pytest.mark.slow
def test_code_that_fails_gives_its_own_exit_code_and_what_it_had_written(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(
        person,
        "import os, pathlib, sys\n"
        "(pathlib.Path(os.environ['GPULEASE_OUTPUT']) / 'half.txt').write_text('half')\n"
        "sys.exit('the data is empty')\n",
    )

    ended = person.types("submit", job, "--yes", "--json")

    assert ended.code == 1
    receipt = ended.json()
    assert receipt["outcome"] == "failed"
    assert receipt["error"]["code"] == "job_failed"
    assert "the data is empty" in receipt["error"]["problem"]
    assert Path(receipt["artifacts_dir"], "half.txt").read_text() == "half"
    assert person.types("receipt", "last").code == 1
    books_agree(receipt, person, cloud)


@pytest.mark.slow
def test_the_bill_is_what_we_said_once_it_is_complete(person: Person, cloud: Cloud) -> None:
    ended = person.types("submit", own_code(person), "--yes", "--json")
    assert ended.code == 0, ended.err + person.driver_log()
    early = person.types("reconcile", "--json").json()
    assert early["machines"][0]["why"].startswith("its bill is complete in about ")

    cloud.advance(7300)
    late = person.types("reconcile", "--json")

    assert late.code == 0, late.err
    (line,) = late.json()["machines"]
    assert (line["names"], line["why"], line["differs"]) == (["mine"], "", False)
    (of_run,) = late.json()["runs"]
    assert (of_run["run"], of_run["machines"], of_run["shared"]) == (ended.json()["run"], 1, 0)
    for figure in ("estimate_usd", "billed_usd", "drift_usd"):
        assert of_run[figure] == line[figure]
    receipt = person.types("receipt", "last", "--json").json()
    billed_usd = cloud.billed_usd(person.home_id)
    for figure in ("billed_usd", "cost_usd", "spent_upper_usd"):
        assert abs(Decimal(receipt[figure]) - billed_usd) < Decimal("0.0001"), figure
    month = person.types("ps", "--json").json()["month"]
    assert Decimal(month["spent_usd"]) == Decimal(receipt["spent_upper_usd"])
