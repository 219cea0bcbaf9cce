from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.lifecycle import sending
from orchestrator.lifecycle.sending import (
    Part,
    explain_path,
    in_words,
    parts_of,
    secrets_sent,
    too_large,
)
from tests.lifecycle.jobs import own_code, tickets


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(sending).failed == 0


def test_code_is_shown_by_its_top_folders_the_largest_first(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    own = tmp_path / "own"
    (own / "assets").mkdir()
    (own / "assets/one.bin").write_bytes(bytes(2 << 20))
    (own / "assets/two.bin").write_bytes(bytes(1 << 20))
    (own / ".gpuleaseignore").write_text("two.bin\n")

    parts = parts_of(job)

    assert parts[0] == Part("assets/", 1, 2 << 20)
    assert {part.path for part in parts} == {"assets/", "train.py", ".gpuleaseignore"}
    assert in_words(parts).startswith("3 files, 2.0 MiB (assets/ 2.0 MiB, train.py 0.1 MiB")
    assert too_large(parts) == ""


def test_a_program_of_ours_sends_its_data(tmp_path: Path) -> None:
    assert {part.path for part in parts_of(tickets(tmp_path))} == {"train.jsonl", "eval.jsonl"}


def test_what_takes_paid_minutes_is_named_with_the_file_that_leaves_it_out() -> None:
    parts = [Part("runs/", 3, 5 << 30), Part("train.py", 1, 10)]

    assert "name runs/ in .gpuleaseignore" in too_large(parts)
    assert in_words([Part(f"{n}/", 1, 1 << 20) for n in range(8)]).endswith(", and 3 more)")
    assert in_words([]) == "nothing"


def test_a_path_is_meant_from_here_or_from_the_folder_that_is_sent(tmp_path: Path) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own/notes.md").write_text("x")
    (tmp_path / "own/.gpuleaseignore").write_text("*.md\n")

    from_here = explain_path(job, "own/notes.md", tmp_path)
    from_folder = explain_path(job, "notes.md", tmp_path)

    assert from_here.sentence == "notes.md is not sent: .gpuleaseignore:1: *.md."
    assert from_folder == from_here
    assert explain_path(job, "own/train.py", tmp_path).is_sent
    assert "does not exist" in explain_path(job, "nothing.py", tmp_path).why


def test_data_of_the_job_is_sent_and_another_file_of_such_a_job_is_a_mistake(
    tmp_path: Path,
) -> None:
    job = tickets(tmp_path)

    assert explain_path(job, "train.jsonl", tmp_path).sentence == (
        "train.jsonl is sent: data.train of the job, as data/train.jsonl."
    )
    with pytest.raises(UsageError, match="sends no folder"):
        explain_path(job, "other.txt", tmp_path)


KEY = "-----BEGIN RSA PRIVATE KEY-----\nx"


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        (".env", "A=1", True), ("conf/.env.production", "A=1", True), (".env.example", "A=", False),
        ("keys/id_rsa", KEY, True), ("keys/id_rsa.pub", "ssh-rsa AAAA", False),
        ("server.pem", KEY, True), ("ca.pem", "-----BEGIN CERTIFICATE-----", False),
        ("id_list.txt", "1 2 3", False), (".aws/credentials", "", True), ("train.py", KEY, False),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_named_before_it_is_sent(
    tmp_path: Path, path: str, text: str, told: bool
) -> None:
    job = own_code(tmp_path)
    (tmp_path / "own" / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "own" / path).write_text(text)

    assert secrets_sent(job) == (
        f"what looks like a secret is sent to the machine: {path}" if told else ""
    )
    (tmp_path / "own/.gpuleaseignore").write_text(f"/{path}\n")
    assert secrets_sent(job) == ""


def test_a_program_of_ours_has_no_secrets(tmp_path: Path) -> None:
    assert secrets_sent(tickets(tmp_path)) == ""
