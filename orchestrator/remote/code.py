"""Which files of the user's folder are sent: git's own ignore rules, and `.gpuleaseignore`."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import SpecError
from orchestrator.remote.bundle import Entry, file_entry, link_stays_inside

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gpuleaseignore"
NEVER_SENT = frozenset({".git", ".venv", "__pycache__"})
_GIT_S = 60.0


@dataclass(frozen=True, slots=True)
class CodeFile:
    """One file or link of the folder, by its path below it."""

    path: str
    size_bytes: int
    link: str = ""


@dataclass(frozen=True, slots=True)
class CodeListing:
    """What of a folder would be sent."""

    folder: Path
    files: tuple[CodeFile, ...]
    by_git: bool
    private: tuple[str, ...] = ()  # what of it is our own, and never leaves this computer

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)

    def by_top(self) -> list[tuple[str, int, int]]:
        """(name, files, bytes) of each folder (`name/`) or file at the top, the largest first."""
        found: dict[str, tuple[int, int]] = {}
        for file in self.files:
            top, slash, _ = file.path.partition("/")
            files, size_bytes = found.get(top + slash, (0, 0))
            found[top + slash] = files + 1, size_bytes + file.size_bytes
        parts = [(name, files, size_bytes) for name, (files, size_bytes) in found.items()]
        return sorted(parts, key=lambda part: (-part[2], part[0]))

    def entries(self, prefix: str) -> list[Entry]:
        """Members of a bundle below the folder `prefix`."""
        return [
            Entry(f"{prefix}/{file.path}", link=file.link)
            if file.link
            else file_entry(f"{prefix}/{file.path}", self.folder / file.path)
            for file in self.files
        ]

    def explain(self, path: str) -> Explained:
        """Whether `path`, relative to the folder, is sent, and the rule that says so."""
        return _explain(self, path)


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one path is sent, or stays here."""

    path: str
    is_sent: bool
    why: str  # the rule as `file:line: pattern`, where one decided

    @property
    def sentence(self) -> str:
        return f"{self.path} is {'' if self.is_sent else 'not '}sent: {self.why}."


def code_files(folder: Path, private: Iterable[Path] = ()) -> CodeListing:
    """List what of `folder` would be sent, sorted by path.

    In a git checkout these are the tracked files and the untracked ones that git does not
    ignore; elsewhere `.gitignore` files are read as git reads them. `.gpuleaseignore` (the same
    syntax, in any folder) leaves out more; NEVER_SENT is never sent. Links are kept as links.

    Args:
        private: files and folders of ours, with keys in them: what of them lies in `folder` is
            left out, whatever the rules say.

    Raises: SpecError when the folder is absent or itself private, or links lead out of it.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise SpecError([f"{folder}: no such folder"])
    ours = _below(folder, private)
    git_paths = _git_paths(folder)
    by_git = git_paths is not None
    paths = git_paths if git_paths is not None else set(_walk(folder, _Rules(folder, ".gitignore")))
    rules = _Rules(folder, IGNORE_FILE)
    files, problems = [], []
    for path in sorted(paths, key=os.fsencode):
        if NEVER_SENT.intersection(path.split("/")) or rules.excluding(path):
            continue
        file = _code_file(folder, path)
        if file is None or _is_private(folder, file, ours):
            continue
        if file.link and not _leads_inside(folder, file):
            problems.append(f"{folder / path}: a link to {file.link}, outside of the folder")
        files.append(file)
    if problems:
        raise SpecError(problems, hint=f"name it in {IGNORE_FILE}, or put a copy in its place")
    return CodeListing(folder, tuple(files), by_git, ours)


def _below(folder: Path, private: Iterable[Path]) -> tuple[str, ...]:
    """What of `private` lies in `folder`, by its path below it."""
    found = []
    for path in {each for one in private for each in (one.absolute(), one.resolve())}:
        if path == folder:
            hint = "give gpulease a home of its own: GPULEASE_HOME, or --home"
            raise SpecError([f"{folder}: is gpulease's own home, with its keys"], hint=hint)
        if path.is_relative_to(folder):
            found.append(path.relative_to(folder).as_posix())
    return tuple(sorted(found))


def _is_private(folder: Path, file: CodeFile, private: tuple[str, ...]) -> bool:
    """Whether a file is one of ours, or a link leads to one."""
    if not private:
        return False
    paths = [file.path]
    if file.link:
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            paths.append((folder / file.path).resolve().relative_to(folder).as_posix())
    return any(path == one or path.startswith(f"{one}/") for path in paths for one in private)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        return subprocess.run(
            # A file monitor is a command of the repository's own choice.
            ["git", "-c", "core.fsmonitor=false", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _git_paths(folder: Path) -> set[str] | None:
    """Paths that git would take; None where git does not rule this folder."""
    ignored = _git(folder, "check-ignore", "--quiet", ".")
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if ignored is None or ignored.returncode == 0 or listed is None or listed.returncode != 0:
        return None
    paths: set[str] = set()
    for name in filter(None, map(os.fsdecode, listed.stdout.split(b"\0"))):
        path = name.rstrip("/")
        nested = folder / path
        if not nested.is_dir() or nested.is_symlink():
            paths.add(path)
        elif (nested / ".git").exists():
            below = _git_paths(nested)
            if below is None:
                below = set(_walk(nested, _Rules(nested, ".gitignore")))
            paths.update(f"{path}/{each}" for each in below)
    return paths


def _walk(folder: Path, rules: _Rules) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        below = Path(root).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        links = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = [
            name
            for name in folders
            if name not in NEVER_SENT
            and name not in links
            and not rules.verdict(f"{prefix}{name}", is_folder=True).excluded
        ]
        for name in (*names, *links):
            if not rules.verdict(f"{prefix}{name}", is_folder=False).excluded:
                yield f"{prefix}{name}"


def _code_file(folder: Path, path: str) -> CodeFile | None:
    whole = folder / path
    try:
        status = whole.lstat()
        if stat.S_ISLNK(status.st_mode):
            return CodeFile(path, 0, str(whole.readlink()))
    except OSError:
        return None  # tracked by git and deleted here
    return CodeFile(path, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _leads_inside(folder: Path, file: CodeFile) -> bool:
    if not link_stays_inside(file.path, file.link):
        return False
    try:
        return (folder / file.path).resolve().is_relative_to(folder)
    except (OSError, RuntimeError):
        return False  # a loop of links


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What ignore files say of one path; `rule` is empty when they say nothing."""

    excluded: bool = False
    rule: str = ""


class _Rules:
    """The ignore files of one name, each ruling from its own folder downwards."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._read: dict[str, tuple[GitIgnoreSpec, list[tuple[int, str]]] | None] = {}
        self._verdicts: dict[str, _Verdict] = {}

    def excluding(self, path: str, *, is_folder: bool = False) -> str:
        """The rule that leaves out `path` or a folder above it; empty when there is none."""
        parts = path.split("/")
        for count in range(1, len(parts)):
            verdict = self.verdict("/".join(parts[:count]), is_folder=True)
            if verdict.excluded:
                return verdict.rule
        verdict = self.verdict(path, is_folder=is_folder)
        return verdict.rule if verdict.excluded else ""

    def verdict(self, path: str, *, is_folder: bool) -> _Verdict:
        """What the last matching pattern says, folders above not considered."""
        asked = f"{path}/" if is_folder else path
        if asked not in self._verdicts:
            self._verdicts[asked] = self._judge(asked)
        return self._verdicts[asked]

    def _judge(self, path: str) -> _Verdict:
        verdict = _Verdict()
        parts = path.rstrip("/").split("/")
        for count in range(len(parts)):
            above = "/".join(parts[:count])
            read = self._patterns(above)
            if read is None:
                continue
            spec, lines = read
            result = spec.check_file(path[len(above) + 1 :] if above else path)
            if result.include is not None and result.index is not None:
                number, pattern = lines[result.index]
                source = f"{above}/{self._name}" if above else self._name
                verdict = _Verdict(result.include, f"{source}:{number}: {pattern}")
        return verdict

    def _patterns(self, folder: str) -> tuple[GitIgnoreSpec, list[tuple[int, str]]] | None:
        if folder not in self._read:
            self._read[folder] = self._load(self._folder / folder / self._name)
        return self._read[folder]

    @staticmethod
    def _load(path: Path) -> tuple[GitIgnoreSpec, list[tuple[int, str]]] | None:
        try:
            text = path.read_text(errors="surrogateescape")
        except OSError:
            return None
        from pathspec import GitIgnoreSpec

        # pathspec drops empty lines, and its indices count without them.
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line]
        try:
            return GitIgnoreSpec.from_lines(line for _, line in lines), lines
        except ValueError as error:
            raise SpecError([f"{path}: {error}"]) from error


def _explain(listing: CodeListing, path: str) -> Explained:
    folder = listing.folder
    inside = Path(posixpath.normpath((folder / path).as_posix()))
    if not inside.is_relative_to(folder):
        return Explained(path, False, f"it is not below {folder}")
    below = inside.relative_to(folder).as_posix()
    if below == ".":
        return Explained("./", bool(listing.files), _amount(list(listing.files)))
    sent = [f for f in listing.files if f.path == below or f.path.startswith(f"{below}/")]
    if sent and sent[0].path == below:
        return Explained(below, True, _rule_for(listing, below))
    if sent:
        return Explained(f"{below}/", True, _amount(sent))
    if any(below == one or below.startswith(f"{one}/") for one in listing.private):
        return Explained(below, False, "gpulease's own files, with its keys, never leave here")
    if never := NEVER_SENT.intersection(below.split("/")):
        return Explained(below, False, f"{min(never)} never is")
    if not (inside.exists() or inside.is_symlink()):
        return Explained(below, False, "it does not exist")
    rule = _rule_against(listing, below)
    if inside.is_dir() and not inside.is_symlink():
        return Explained(f"{below}/", False, rule or "no file in it is")
    return Explained(below, False, rule or "it is no regular file")


def _amount(files: list[CodeFile]) -> str:
    return f"{len(files)} files, {sum(file.size_bytes for file in files)} bytes"


def _rule_for(listing: CodeListing, path: str) -> str:
    """Why a file is sent: a rule that takes it in again, or that no rule leaves it out."""
    kept = _Rules(listing.folder, IGNORE_FILE).verdict(path, is_folder=False).rule
    if not listing.by_git:
        ignored = _Rules(listing.folder, ".gitignore").verdict(path, is_folder=False).rule
        return kept or ignored or "no rule leaves it out"
    tracked = _git(listing.folder, "ls-files", "--error-unmatch", "--", path)
    if tracked is not None and tracked.returncode == 0:
        return kept or "git tracks it"
    return kept or _git_rule(listing.folder, path) or "git does not ignore it"


def _rule_against(listing: CodeListing, path: str) -> str:
    is_folder = (listing.folder / path).is_dir() and not (listing.folder / path).is_symlink()
    if rule := _Rules(listing.folder, IGNORE_FILE).excluding(path, is_folder=is_folder):
        return rule
    if not listing.by_git:
        return _Rules(listing.folder, ".gitignore").excluding(path, is_folder=is_folder)
    return _git_rule(listing.folder, path)


def _git_rule(folder: Path, path: str) -> str:
    """What git itself says of an untracked path, as `file:line: pattern`."""
    checked = _git(folder, "check-ignore", "--verbose", "--", path)
    if checked is None or not checked.stdout:
        return ""
    source, number, pattern = os.fsdecode(checked.stdout).split("\t")[0].split(":", 2)
    return f"{source}:{number}: {pattern}"
