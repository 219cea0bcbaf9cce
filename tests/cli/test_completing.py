"""The Tab key, pressed in a real shell on the script that `gpulease completion` prints."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import completing
from orchestrator.cli.commands.login import _HUB
from orchestrator.providers.registry import provider_names
from orchestrator.settings import PROVIDER_KEYS
from orchestrator.spec.job import CAUSAL_LM_METHODS
from orchestrator.spec.starter import starters
from orchestrator.store.journal import Journal
from tests.cli.terminal import ROOT
from tests.runs.samples import run

PRESS = """
eval "$(./gpulease completion bash)"
press() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(( $# - 1 ))
    _gpulease_completion ./gpulease
    echo "${COMPREPLY[@]}"
}
"""
# zsh completes in a terminal alone, so it gets one: Tab makes the words of $1 those of $2.
PRESS_IN_ZSH = r"""
zmodload zsh/zpty
zpty shell 'PS1= zsh -f -i'
zpty -w shell "path=($PWD \$path); autoload -U compinit; compinit -u -D; source ./script"
zpty -w shell "print rea''dy"
zpty -r -m shell said '*ready*'
zpty -w -n shell "$1"$'\t'
zpty -r -m shell said "*$2*" && print "$2"
zpty -d shell
"""
ANSWERS = {
    "gpulease comp": "completion",
    "gpulease --no": "--no-color",
    "gpulease submit --wa": "--wait",
    "gpulease submit job.yaml --provider l": "lambda local",
    "gpulease --json logs ti": "tickets",
    "gpulease logs -f abc": "abc12345",
    "gpulease show ''": "last tickets abc12345",
    "gpulease --home elsewhere show ''": "",
    "gpulease pull --to out la": "last",
    "gpulease init --task ca": "causal-lm",
    "gpulease login hu": "huggingface",
    "gpulease size m --method q": "qlora",
    "gpulease completion z": "zsh",
}


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    """A home with a run in it, and a `gpulease` to press the Tab key on."""
    home.mkdir()
    journal = Journal(f"sqlite:///{home / 'gpulease.sqlite'}")
    journal.add(run("abc12345", name="tickets"), [], lambda standing: None, 0.0)
    journal.close()
    program = tmp_path / "gpulease"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    return tmp_path


def gpulease(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [str(folder / "gpulease"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_bash_completes(folder: Path) -> None:
    presses = "".join(f"press {words}\n" for words in ANSWERS)

    done = subprocess.run(
        ["bash", "--norc", "-c", PRESS + presses],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert dict(zip(ANSWERS, done.stdout.split("\n"), strict=False)) == ANSWERS


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_script(folder: Path, shell: str) -> None:
    script = gpulease(folder, "completion", shell)
    assert f"complete_{shell}" in script
    if shutil.which(shell) is None:
        pytest.skip(f"this computer has no {shell}")

    file = folder / "script"
    file.write_text(script)
    subprocess.run([shell, "-n", str(file)], check=True)


@pytest.mark.skipif(shutil.which("fish") is None, reason="this computer has no fish")
def test_fish_completes(folder: Path) -> None:
    presses = [f"complete -C {shlex.quote(words)}" for words in ANSWERS]
    script = gpulease(folder, "completion", "fish")
    commands = "\necho ===\n".join([f"set -p PATH {folder}\n{script}", *presses])

    done = subprocess.run(
        ["fish", "--no-config", "-c", commands],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )

    answers = [
        {line.split("\t")[0] for line in answer.strip().splitlines()}
        for answer in done.stdout.split("===\n")[1:]
    ]
    # Where there is nothing to say, fish itself offers files.
    wanted = {words: set(found.split()) for words, found in ANSWERS.items() if found}
    assert {
        words: found for words, found in zip(ANSWERS, answers, strict=True) if ANSWERS[words]
    } == wanted


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this computer has no zsh")
@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("gpulease comp", "gpulease completion"),
        ("gpulease logs ti", "gpulease logs tickets"),
        ("gpulease size m --method q", "gpulease size m --method qlora"),
    ],
)
def test_zsh_completes(folder: Path, typed: str, made: str) -> None:
    (folder / "script").write_text(gpulease(folder, "completion", "zsh"))

    done = subprocess.run(
        ["zsh", "-f", "-c", PRESS_IN_ZSH, "zsh", typed, made],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60.0,
    )

    assert done.stdout == f"{made}\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_with_what_each_word_is(folder: Path, shell: str) -> None:
    answer = gpulease(
        folder,
        _GPULEASE_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="gpulease show ti",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )

    assert "tickets" in answer and "planned, abc12345" in answer


def test_it_is_installed_where_the_shell_looks(folder: Path) -> None:
    said = gpulease(folder, "completion", "bash", "--install")

    assert ".bash_completions/gpulease.sh" in said
    assert "gpulease.sh" in (folder / ".bashrc").read_text()


def test_runs_are_completed_without_the_store_or_the_network(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "orchestrator"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_GPULEASE_COMPLETE": "complete_bash",
            "COMP_WORDS": "gpulease cancel ti",
            "COMP_CWORD": "2",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["tickets"]
    for heavy in ("sqlalchemy", "paramiko", "boto3", "httpx", "rich.console"):
        assert heavy not in done.stderr


def test_the_words_are_those_of_the_product() -> None:
    assert provider_names() == completing.PROVIDERS
    assert set(completing.TASKS) == set(starters())
    assert set(completing.METHODS) == set(CAUSAL_LM_METHODS.words)
    keyed = [name for name in provider_names() if name in PROVIDER_KEYS]
    assert set(completing.ACCOUNTS) == {*keyed, *_HUB}
