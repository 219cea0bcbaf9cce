"""What goes wrong on a machine that bills: the log and all that can be had come home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tests.e2e.books import books_agree
from tests.e2e.cloud import Cloud
from tests.e2e.jobs import own_code, training
from tests.e2e.person import Person
from tests.e2e.places import Place, everywhere, own_machine_at_length

FAILS = """\
import os, pathlib, sys
(pathlib.Path(os.environ["GPULEASE_OUTPUT"]) / "half.txt").write_text("half")
print("the labels are of another language")
sys.exit(3)
"""


def ended(
    person: Person, place: Place, job: str, *, exit_code: int, stray: str = ""
) -> dict[str, Any]:
    """Submit a job and follow it to its receipt; the proofs of return are not waited for."""
    with person.starts("submit", job, "--yes", "--json") as process:
        person.waits_for_state("returning")
        with place.hurrying():
            followed = person.ends(process)
    assert followed.code == exit_code, followed.err + person.driver_log()
    assert "Traceback" not in followed.err
    receipt = followed.json()
    place.has_all_back(receipt, person, stray=stray)
    return receipt


@own_machine_at_length
def test_user_code_that_exits_3_is_a_failed_job_and_its_words_are_the_reason(
    person: Person, place: Place
) -> None:
    job = own_code(person, FAILS, providers=place.provider)

    receipt = ended(person, place, job, exit_code=1)

    assert receipt["outcome"] == "failed"
    assert receipt["error"] == {
        "code": "job_failed",
        "problem": "the program ended with exit code 3: the labels are of another language",
        "hint": f"gpulease logs {receipt['run']}",
    }
    assert Path(receipt["artifacts_dir"], "half.txt").read_text() == "half"
    assert json.loads(Path(receipt["artifacts_dir"], "exit.json").read_text())["exit_code"] == 3
    page = person.types("receipt", "last")
    assert page.code == 1
    assert "the program ended with exit code 3: the labels" in page.out


@own_machine_at_length
def test_requirements_that_do_not_install_say_which_and_why(person: Person, place: Place) -> None:
    job = own_code(person, requirements="needs.txt", providers=place.provider)
    person.writes("trainer/needs.txt", "six==99.99\n")

    receipt = ended(person, place, job, exit_code=1)

    assert receipt["outcome"] == "failed"
    assert receipt["error"]["code"] == "setup"
    assert receipt["error"]["problem"].startswith("setup failed: needs.txt could not be installed")
    assert "there is no version of six==99.99" in receipt["error"]["problem"]
    assert receipt["error"]["hint"] == f"gpulease logs {receipt['run']}"
    assert "six==99.99" in Path(receipt["log"]).read_text()
    assert {one["path"] for one in receipt["artifacts"]} == {"exit.json", "log.txt"}


HANGS = """\
import pathlib, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM is not for me", flush=True))
(pathlib.Path(os.environ["GPULEASE_OUTPUT"]) / "so-far.txt").write_text("something")
print("it goes on", flush=True)
while True:
    time.sleep(1)
"""


@own_machine_at_length
def test_user_code_that_hangs_is_asked_and_then_ended_at_max_duration(
    person: Person, place: Place
) -> None:
    limits = {"max_duration": "20m", "max_cost": "2.00"}
    job = own_code(person, HANGS, providers=place.provider, **limits)
    with person.starts("submit", job, "--yes", "--json") as process:
        person.waits_for_state("running")
        place.advance(19 * 60)
        person.waits(lambda view: "it goes on" in Path(view["log"]).read_text())
        place.advance(60)
        person.waits(lambda view: "SIGTERM" in Path(view["log"]).read_text())
        assert person.state() == "running"  # it still has its minute of grace
        place.advance(60)
        person.waits_for_state("returning")
        with place.hurrying():
            followed = person.ends(process)

    assert followed.code == 5, followed.err + person.driver_log()
    receipt = followed.json()
    assert receipt["outcome"] == "expired"
    assert receipt["error"] == {
        "code": "max_duration",
        "problem": "the job used its max_duration of 20 min",
        "hint": "raise budget.max_duration",
    }
    assert Path(receipt["log"]).read_text() == "it goes on\nSIGTERM is not for me\n"
    assert Path(receipt["artifacts_dir"], "so-far.txt").read_text() == "something"
    exit_record = json.loads(Path(receipt["artifacts_dir"], "exit.json").read_text())
    assert exit_record["why"] in ("stopped", "deadline")
    place.has_all_back(receipt, person)


PAINTS = r"""
import json, os, sys
lines = [
    b"\x1b]0;owned\x07a title",
    b"\x1b]52;c;ZXZpbA==\x1b\\a clipboard",
    b"\x1b[2J\x1b[1;1Ha screen",
    b"\xc2\x9b31ma colour in one sign",
    b"\x1bP+q544e\x1b\\a device",
    b"\xe2\x80\xaea direction",
    b"\x1b]8;;http://127.0.0.1/\x07a link\x1b]8;;\x07",
    b"\x1b[?1049h\x1b[6n\x05\x0ea mode",
    b" 50 %\r100 %",
]
sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
sys.stdout.flush()
with open(os.environ["GPULEASE_EVENTS"], "a") as events:
    for event in ({"event": "message", "text": "\x1b]0;owned\x07hello"},
                  {"event": "progress", "step": 1, "steps": 2, "metrics": {"\x1b[2Jloss": 1}}):
        events.write(json.dumps({"at": 0, **event}) + "\n")
with open(os.environ["GPULEASE_METRICS"], "w") as metrics:
    json.dump({"\x1b]0;owned\x07accuracy": 0.5, "note": "\x1b[2Jx"}, metrics)
sys.exit("\x1b]0;owned\x07bye")
"""
PAINTED = b"""\
\x1b]0;owned\x07a title
\x1b]52;c;ZXZpbA==\x1b\\a clipboard
\x1b[2J\x1b[1;1Ha screen
\xc2\x9b31ma colour in one sign
\x1bP+q544e\x1b\\a device
\xe2\x80\xaea direction
\x1b]8;;http://127.0.0.1/\x07a link\x1b]8;;\x07
\x1b[?1049h\x1b[6n\x05\x0ea mode
 50 %\r100 %
\x1b]0;owned\x07bye
"""
PLAIN = [
    "a title",
    "a clipboard",
    "a screen",
    "a colour in one sign",
    "a device",
    "a direction",
    "a link",
    "a mode",
    "100 %",
    "bye",
]


@pytest.mark.slow
@everywhere
def test_what_a_log_would_do_to_a_terminal_stays_in_the_file(person: Person, place: Place) -> None:
    job = own_code(person, PAINTS, providers=place.provider)
    with Terminal(
        "submit",
        job,
        "--yes",
        environment=person.env,
        program=("-m", "orchestrator"),
        place=person.desk,
        patience_s=60,
    ) as terminal:
        person.waits_for_state("returning")
        with place.hurrying():
            assert terminal.end() == 1
    shown = [terminal.raw, terminal.text.encode()]
    assert terminal.screen.title == ""
    for command in ("attach", "receipt", "logs"):
        said = person.types(command, "last")
        assert said.code in (0, 1)
        shown.append((said.out + said.err).encode())
        assert "\x1b" not in shown[-1].decode()
    attached = person.types("attach", "last", "--json")

    for hostile in (b"owned", b"\x1b]", b"\x1bP", b"\x1b[2J", b"52;c", b"1049", b"\xe2\x80\xae"):
        assert [text.count(hostile) for text in shown] == [0] * len(shown), hostile
    assert said.out.splitlines() == PLAIN
    told = [json.loads(line) for line in attached.out.splitlines()]
    assert not [one for one in told if "\x1b" in json.dumps(one, ensure_ascii=False)]
    receipt = person.view()
    assert Path(receipt["log"]).read_bytes() == PAINTED
    assert Path(receipt["artifacts_dir"], "log.txt").read_bytes() == PAINTED
    assert receipt["error"]["problem"] == "the program ended with exit code 1: bye"
    assert receipt["metrics"] == {"accuracy": 0.5, "note": "x"}


FORGES = r"""
import hashlib, json, os, pathlib, time

work = pathlib.Path(os.environ["GPULEASE_OUTPUT"]).parent
out = work / "output"
(out / "result.txt").write_text("forty-two\n")
(out / "link").symlink_to("/etc")
(out / "hostname").symlink_to("/etc/hostname")
(work.parent / "x").write_text("owned\n")
(work / "x").write_text("owned\n")


def listed(path, data=b"owned\n", **claims):
    sha256 = hashlib.sha256(data).hexdigest()
    return {"path": path, "size_bytes": len(data), "sha256": sha256, "kind": "rest", **claims}


files = [
    listed("../../x"),
    listed("output/../../x"),
    listed("/etc/passwd"),
    listed("../gpulease.sqlite"),
    listed("output/link/passwd", pathlib.Path("/etc/passwd").read_bytes()),
    listed("output/\x1b[2Jx"),
    listed("output/" + "long" * 2000),
    listed("output/endless", size_bytes=1 << 60),
    listed("output/negative", size_bytes=-1),
    listed("output/absent"),
    listed("output/result.txt/below"),
    listed("x", kind="model"),
    listed("output/result.txt", b"forty-two\n", kind="model"),
    {"path": ["output/x"]},
    "output/x",
]
(work / "manifest.json").write_text(json.dumps({"protocol": 1, "files": files}))
print("listed", flush=True)
with open(os.environ["GPULEASE_EVENTS"], "a") as events:
    for event in ({"event": "exited", "why": "finished", "exit_code": 0},
                  {"event": "ready", "manifest": True}):
        events.write(json.dumps({"at": time.time(), **event}) + "\n")
time.sleep(600)
"""
REFUSED = [
    "'../../x' is refused: it has the part '..'",
    "'output/../../x' is refused: it has the part '..'",
    "'/etc/passwd' is refused: it is absolute",
    "'../gpulease.sqlite' is refused: it has the part '..'",
    "'output/\\x1b[2Jx' is refused: it has a control or invisible character",
    "is refused: it is longer than 1024 bytes",
    "'output/endless' is refused: it is too large: 1152921504606846976 bytes",
    "'output/negative' is refused: it has no size that can be",
    "'output/result.txt/below' is refused: it is in another file's way",
    "a file without a path",
    "a file without a path",
    "The machine cannot send 'output/absent': ",
]


@everywhere
def test_a_machine_that_lies_about_its_artifacts_writes_nothing_outside_the_runs_folder(
    person: Person, place: Place
) -> None:
    job = own_code(person, FORGES, providers=place.provider)

    receipt = ended(person, place, job, exit_code=8, stray="gpulease/x")

    assert receipt["outcome"] == "succeeded"  # as it says itself
    told = receipt["artifacts_missing"]
    assert len(told) == len(REFUSED)
    assert not [(want, said) for want, said in zip(REFUSED, told, strict=True) if want not in said]
    artifacts = Path(receipt["artifacts_dir"])
    assert {one["path"] for one in receipt["artifacts"]} == {"result.txt", "x", "link/passwd"}
    assert (artifacts / "result.txt").read_text() == "forty-two\n"
    files = [path for path in person.home.parent.rglob("*") if path.is_file()]
    assert [path for path in files if path.read_bytes() == b"owned\n"] == [artifacts / "x"]
    assert not [path for path in person.home.rglob("*") if path.is_symlink()]
    assert Path(receipt["log"]).read_text() == "listed\n"
    page = person.types("receipt", "last")
    assert page.code == 8
    assert "\x1b" not in page.out
    assert "'../../x' is refused: it has the part '..'" in page.out


SAVES_AT_SIGTERM = """\
import os, pathlib, signal, sys, time
out = pathlib.Path(os.environ["GPULEASE_OUTPUT"])
(out / "half.txt").write_text("half")
def save(*_):
    (out / "saved.txt").write_text("in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("works", flush=True)
time.sleep(900)
"""


def ends_agent(person: Person) -> None:
    """SIGKILL to the agent of the last run's machine; its program lives on."""
    label = person.view()["machines"][-1]["label"]
    kill = f"kill -9 $(cat $HOME/gpulease/{label}/agent.pid)"
    killed = person.types("ssh", "last", "--", kill)
    assert killed.code == 0, killed.err


@pytest.mark.slow
def test_when_the_agent_dies_what_its_program_made_comes_home(person: Person, cloud: Cloud) -> None:
    person.submits(own_code(person, SAVES_AT_SIGTERM))
    person.waits(lambda view: "works" in Path(view["log"]).read_text() if view["log"] else False)
    ends_agent(person)

    with cloud.hurrying():
        followed = person.types("attach", "last", "--json")

    receipt = person.view()
    assert (receipt["outcome"], followed.code) == ("failed", 1)
    assert receipt["artifacts_missing"] == []
    home = Path(receipt["artifacts_dir"])
    assert (home / "half.txt").read_text() == "half"
    assert (home / "saved.txt").read_text() == "in time"
    assert "another gives back what is on the machine" in " ".join(receipt["notes"])
    books_agree(receipt, person, cloud)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["ssh_host"], indirect=True)
def test_on_a_workstation_a_dead_agent_is_followed_by_one_that_goes_on_with_the_job(
    person: Person, place: Place
) -> None:
    person.submits(own_code(person, training(steps=6, waits_at=5), providers=place.provider))
    person.waits(lambda view: view["progress"].get("step") == 5)
    ends_agent(person)
    place.advance(61)  # of silence

    followed = person.types("attach", "last")

    assert followed.code == 0, followed.err + person.driver_log()
    receipt = person.view()
    trained = json.loads(Path(receipt["artifacts_dir"], "trained.json").read_text())
    assert trained == {"steps": [1, 2, 3, 4, 5, 6], "lives": 2}
    assert "goes on from the newest checkpoint" in " ".join(receipt["notes"])
    place.has_all_back(receipt, person)


@pytest.mark.root
@pytest.mark.slow
def test_a_gpu_that_is_listed_and_dead_goes_back_before_anything_is_sent_to_it(
    person: Person, cloud: Cloud
) -> None:
    job = own_code(person)
    path = person.desk / job
    path.write_text(path.read_text().replace("{allow_cpu: true}", "{memory_gib: 12}"))
    cloud.fault("cuda_dead")

    run = person.submits(job)
    with cloud.hurrying():
        followed = person.types("attach", run, limit_s=120)

    assert followed.code == 0, followed.err + person.driver_log()
    receipt = person.view()
    books_agree(receipt, person, cloud, ended_by=("api", "api"))
    dead, _ = receipt["machines"]
    assert "its GPU is listed, but stayed dead: CUDA answers with error 802" in dead["why_ended"]
    assert receipt["device"] == "cuda"  # whose image has no torch: the driver is asked
    assert person.driver_log().count("the agent is started") == 1
