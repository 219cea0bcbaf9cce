"""The text that a workstation's Python reads, run as it is run there."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent import protocol
from orchestrator.providers import own_machine
from orchestrator.providers.ssh_host import mapping, on_host
from tests.conventions.source import imported

LABEL = "gl1-homeid-runid123-01-trpw5s-trpyxc"
TEXT = Path(on_host.__file__).read_text()

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Do one operation in a home of the test's own; whatever is left of it ends with the test."""

    def ask(do: str, **words: object) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-I", "-"],
            input=mapping.to_program(do, **words),
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            check=True,
        )
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    return ask


@pytest.fixture
def make(ask: Ask, tmp_path: Path) -> Callable[[], Path]:
    """Make a machine without a GPU, and give its folder."""

    def make() -> Path:
        words = {"count": 0, "gpus": [], "idle_mib": 1024, "over": [], "environment": {}}
        ask("create", label=LABEL, facts={"created_at": 1}, **words)
        return tmp_path / "gpulease" / LABEL

    return make


def lives(pid: str) -> bool:
    """Whether a process does anything yet; somebody else may still have to bury it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_needs_nothing_but_python_3_8() -> None:
    ast.parse(TEXT, feature_version=(3, 8))
    vermin = Path(sys.executable).with_name("vermin")
    options = ["--target=3.8-", "--violations", "--no-tips"]
    subprocess.run([vermin, *options, on_host.__file__], check=True, capture_output=True)
    modules = {module.split(".")[0] for _, module in imported(ast.parse(TEXT))}
    assert modules - {"orchestrator"} <= sys.stdlib_module_names
    typing_only = TEXT.partition("if TYPE_CHECKING:")[2].partition("\n\n\n")[0]
    assert TEXT.count("orchestrator") == typing_only.count("orchestrator") == 1


def test_it_agrees_with_the_rest_on_names() -> None:
    assert on_host.FACTS_FILE == own_machine.FACTS_FILE
    assert on_host.LABEL_VARIABLE == own_machine.LABEL_VARIABLE
    assert on_host.ENVIRONMENT_FILE == protocol.ENVIRONMENT_FILE
    assert on_host.PID_FILE == protocol.PID_FILE


def test_a_machine_of_another_computer_on_the_same_home_is_not_listed(
    ask: Ask, make: Callable[[], Path]
) -> None:
    facts = make() / "machine.json"
    assert [one["id"] for one in ask("look")["machines"]] == [LABEL]

    facts.write_text(json.dumps({**json.loads(facts.read_text()), "host": "another"}))

    assert ask("look")["machines"] == []


def test_a_spoilt_record_is_still_a_machine(ask: Ask, make: Callable[[], Path]) -> None:
    (make() / "machine.json").write_text("{")

    assert ask("look")["machines"] == [{"id": LABEL, "facts": {}}]
    assert ask("find", label=LABEL)["machine"] == {"id": LABEL, "facts": {}}


def test_folders_of_that_name_that_hold_no_machine_are_left_alone(
    ask: Ask, make: Callable[[], Path]
) -> None:
    checkout = make().parent / "orchestrator"
    checkout.mkdir()

    assert [one["id"] for one in ask("look")["machines"]] == [LABEL]
    ask("end", label=LABEL)
    assert checkout.is_dir()


def test_all_that_came_of_a_machine_ends_and_a_shell_that_stands_there_does_not(
    ask: Ask, make: Callable[[], Path]
) -> None:
    folder = make()
    # Of the program's child only its parent is known: it hides its variables and its group.
    program = (
        "import subprocess, time; subprocess.Popen(['env', '-i', '/usr/bin/setsid', '/bin/sleep', "
        "'30']); time.sleep(30)"
    )
    marked = {**os.environ, "GPULEASE_OUTPUT": str(folder / "output")}
    with (
        subprocess.Popen(
            [sys.executable, "-c", program], env=marked, start_new_session=True
        ) as job,
        subprocess.Popen(["sleep", "30"], cwd=folder, start_new_session=True) as bystander,
    ):
        children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
        while not (child := children.read_text().strip()):
            pass

        ask("end", label=LABEL)

        assert job.wait(5) == -signal.SIGTERM
        assert not lives(child)
        assert bystander.poll() is None
        bystander.kill()
    assert ask("find", label=LABEL)["machine"] is None


def test_what_ignores_the_first_signal_gets_the_second(ask: Ask, make: Callable[[], Path]) -> None:
    folder = make()
    stubborn = ["sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"]
    marked = {**os.environ, "GPULEASE_LABEL": LABEL}
    with subprocess.Popen(
        stubborn, env=marked, stdout=subprocess.PIPE, start_new_session=True
    ) as job:
        assert job.stdout is not None
        job.stdout.readline()

        assert ask("end", label=LABEL) == {"ended": True}

        assert job.wait(5) == -signal.SIGKILL
    assert not folder.exists()


def test_a_folder_deeper_than_python_goes_is_removed(ask: Ask, make: Callable[[], Path]) -> None:
    folder = make()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)

    ask("end", label=LABEL)

    assert not folder.parent.exists()


def test_a_home_that_cannot_be_written_says_so(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "gpulease").write_text("a file")
    words = {"count": 0, "gpus": [], "idle_mib": 1024, "over": [], "environment": {}, "facts": {}}

    assert "gpulease" in ask("create", label=LABEL, **words)["error"]


def test_a_disk_that_cannot_be_read_is_no_absence(
    ask: Ask, make: Callable[[], Path], tmp_path: Path
) -> None:
    root = make().parent
    root.rename(tmp_path / "away")
    root.symlink_to(root)

    for do, words in (("look", {}), ("find", {"label": LABEL}), ("end", {"label": LABEL})):
        assert "gpulease" in ask(do, **words)["error"]
    root.unlink()
    (tmp_path / "away").rename(root)
    assert ask("find", label=LABEL)["machine"]["id"] == LABEL


@pytest.mark.parametrize(("do", "words"), [("look", {}), ("find", {"label": LABEL})])
def test_a_home_that_is_not_there_proves_no_absence(
    ask: Ask, tmp_path: Path, do: str, words: dict[str, object]
) -> None:
    tmp_path.rmdir()

    assert "home folder is not there" in ask(do, **words)["error"]
