from __future__ import annotations

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.remote.bundle import bundle
from orchestrator.remote.code import code_files


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def git(folder: Path, *arguments: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True
    )


def paths(folder: Path) -> list[str]:
    return [file.path for file in code_files(folder).files]


FILES = {
    "train.py": "1",
    "tracked.bin": "22",
    "new.py": "333",
    "data/raw.csv": "x" * 100,
    "data/keep.csv": "4",
    "runs/out.txt": "",
    "sub/.gitignore": "*.tmp\n!kept.tmp\n",
    "sub/a.tmp": "",
    "sub/kept.tmp": "",
    ".venv/lib/x.py": "",
    "sub/__pycache__/x.pyc": "",
    ".gitignore": "/runs/\ndata/*\n!data/keep.csv\n*.bin\n",
}
SENT = [".gitignore", "data/keep.csv", "new.py", "sub/.gitignore", "sub/kept.tmp", "train.py"]


def test_without_git_the_ignore_files_are_read_as_git_reads_them(tmp_path: Path) -> None:
    assert paths(write(tmp_path, FILES)) == SENT
    assert not code_files(tmp_path).by_git


def test_git_decides_in_a_checkout_and_tracked_files_are_sent(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    git(tmp_path, "init")
    git(tmp_path, "add", "-f", "tracked.bin", "train.py")
    git(tmp_path, "commit", "-m", "x")

    assert code_files(tmp_path).by_git
    assert paths(tmp_path) == sorted([*SENT, "tracked.bin"])


def test_a_folder_below_the_checkout_is_listed_from_itself(tmp_path: Path) -> None:
    write(tmp_path, {"sub/a.py": "", "other.py": "", ".gitignore": "*.log\n", "sub/x.log": ""})
    git(tmp_path, "init")

    assert paths(tmp_path / "sub") == ["a.py"]


def test_a_folder_that_git_ignores_as_a_whole_is_walked(tmp_path: Path) -> None:
    write(tmp_path, {"out/job/train.py": "", ".gitignore": "out/\n"})
    git(tmp_path, "init")

    assert paths(tmp_path / "out" / "job") == ["train.py"]


def test_a_repository_inside_is_listed_by_its_own_rules(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.py": "", "nested/b.py": "", "nested/.gitignore": "*.log\n", "nested/c.log": ""},
    )
    git(tmp_path, "init")
    git(tmp_path / "nested", "init")

    assert paths(tmp_path) == ["a.py", "nested/.gitignore", "nested/b.py"]


def test_tracked_files_that_were_deleted_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "", "gone.py": ""})
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    (tmp_path / "gone.py").unlink()

    assert paths(tmp_path) == ["a.py"]


@pytest.mark.parametrize("by_git", [True, False])
def test_gpuleaseignore_leaves_out_tracked_files_too(tmp_path: Path, by_git: bool) -> None:
    write(
        tmp_path,
        {
            "a.py": "",
            "big/x.npy": "",
            "big/y.txt": "",
            "big/.gpuleaseignore": "*.txt\n",
            "d/e/f": "",
            ".gpuleaseignore": "# what stays here\n\n*.npy\nd/\n!d/e/f\n",
        },
    )
    if by_git:
        git(tmp_path, "init")
        git(tmp_path, "add", ".")

    assert paths(tmp_path) == [".gpuleaseignore", "a.py", "big/.gpuleaseignore"]


def test_names_that_need_quoting_are_listed(tmp_path: Path) -> None:
    names = ["a b.py", 'quote".py', "größe.py", "new\nline.py"]
    write(tmp_path, dict.fromkeys(names, ""))
    git(tmp_path, "init")

    assert sorted(paths(tmp_path)) == sorted(names)


def test_links_inside_are_kept_and_links_outside_refused_all_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", {"real/a.py": "1"})
    (folder / "inside").symlink_to("real")
    (folder / "absent").symlink_to("not-there")
    assert [(file.path, file.link) for file in code_files(folder).files] == [
        ("absent", "not-there"),
        ("inside", "real"),
        ("real/a.py", ""),
    ]

    (folder / "absolute").symlink_to(folder / "real")
    (folder / "up").symlink_to("../elsewhere")
    with pytest.raises(SpecError) as caught:
        code_files(folder)
    assert len(caught.value.problems) == 2
    assert ".gpuleaseignore" in caught.value.hint

    (folder / ".gpuleaseignore").write_text("absolute\nup\n")
    assert len(code_files(folder).files) == 4


def test_pipes_are_not_sent_and_an_absent_folder_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert paths(tmp_path) == []
    with pytest.raises(SpecError, match="no such folder"):
        code_files(tmp_path / "absent")


def test_sizes_are_shown_by_top_folder_largest_first(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "1", "data/x": "x" * 50, "data/y/z": "x" * 50, "src/b.py": "22"})
    listing = code_files(tmp_path)

    assert listing.by_top() == [("data/", 2, 100), ("src/", 1, 2), ("a.py", 1, 1)]
    assert listing.size_bytes == 103


@pytest.mark.parametrize("by_git", [True, False])
def test_explain_names_the_rule_with_its_line(tmp_path: Path, by_git: bool) -> None:
    write(tmp_path, FILES)
    (tmp_path / ".gpuleaseignore").write_text("\nnew.py\n")
    if by_git:
        git(tmp_path, "init")
    listing = code_files(tmp_path)

    def told(path: str) -> str:
        return listing.explain(path).sentence

    assert told("train.py").startswith("train.py is sent")
    assert told(str(tmp_path / "train.py")).startswith("train.py is sent")
    assert told("data/keep.csv") == "data/keep.csv is sent: .gitignore:3: !data/keep.csv."
    assert told("sub/kept.tmp") == "sub/kept.tmp is sent: sub/.gitignore:2: !kept.tmp."
    assert told("sub").startswith("sub/ is sent: 2 files")
    assert told(".") == f"./ is sent: {len(listing.files)} files, {listing.size_bytes} bytes."
    assert told("new.py") == "new.py is not sent: .gpuleaseignore:2: new.py."
    assert ".gitignore:2: data/*" in told("data/raw.csv")
    assert told("runs") == "runs/ is not sent: .gitignore:1: /runs/."
    assert ".gitignore:1: /runs/" in told("runs/out.txt")
    assert "sub/.gitignore:1: *.tmp" in told("sub/a.tmp")
    assert ".venv never is" in told(".venv/lib/x.py")
    assert "does not exist" in told("absent.py")
    assert "not below" in told("../x")
    assert not listing.explain("../x").is_sent


def test_explain_says_that_git_tracks_a_file_which_its_rules_would_ignore(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    git(tmp_path, "init")
    git(tmp_path, "add", "-f", "tracked.bin")

    assert code_files(tmp_path).explain("tracked.bin").why == "git tracks it"


def test_entries_become_a_bundle_below_a_prefix(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": "print(1)", "run.sh": "#!/bin/sh\n"})
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("train.py")

    stream = b"".join(bundle(code_files(tmp_path).entries("code")))

    with tarfile.open(fileobj=BytesIO(stream)) as tar:
        members = {each.name: (each.mode & 0o777, each.linkname) for each in tar.getmembers()}
    assert members == {
        "code/link": (0o777, "train.py"),
        "code/run.sh": (0o755, ""),
        "code/train.py": (0o644, ""),
    }


OURS = {
    ".gpulease/gpulease.sqlite": "",
    ".gpulease/runs/r1/keys/id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "conf/gpulease.toml": "RUNPOD_API_KEY = 'rpa_x'",
}


@pytest.mark.parametrize("by_git", [False, True])
def test_our_own_home_and_config_below_the_folder_never_go(tmp_path: Path, by_git: bool) -> None:
    folder = write(
        tmp_path / "code", {**OURS, "train.py": "", "conf/other.toml": "", ".gpulease2/x": ""}
    )
    (folder / "link.toml").symlink_to("conf/gpulease.toml")
    (folder / "keys").symlink_to(".gpulease/runs")
    if by_git:
        git(folder, "init")
        git(folder, "add", "--force", "--all")
    (tmp_path / "elsewhere").symlink_to(folder / ".gpulease")
    private = [tmp_path / "elsewhere", folder / "conf/gpulease.toml", tmp_path / "not there"]

    listing = code_files(folder, private)

    assert [file.path for file in listing.files] == [
        ".gpulease2/x", "conf/other.toml", "train.py",
    ]  # fmt: skip
    assert "never leave here" in listing.explain(".gpulease/gpulease.sqlite").why
    assert not listing.explain(".gpulease").is_sent


def test_a_home_is_no_code(tmp_path: Path) -> None:
    home = write(tmp_path / "home", {"train.py": ""})

    with pytest.raises(SpecError, match="gpulease's own home"):
        code_files(home, [home])
    # What lies in a home may be somebody's code: only the home itself is ours.
    assert [file.path for file in code_files(home, [tmp_path]).files] == ["train.py"]
