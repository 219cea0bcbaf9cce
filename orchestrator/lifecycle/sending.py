"""What a job sends to its machine, by folder, and why a path of it goes or stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.agent import protocol
from orchestrator.errors import UsageError
from orchestrator.remote.code import IGNORE_FILE, Explained, code_files
from orchestrator.spec.job import Job
from orchestrator.spec.model import LocalModel

_LARGE_BYTES = 1 << 30
_MOST_NAMED = 5
_SECRETS = (".env", ".netrc", ".pypirc", ".git-credentials", ".htpasswd", "kaggle.json")
_SECRET_PATHS = (".aws/credentials", ".docker/config.json", ".kube/config")
_EXAMPLES = (".example", ".sample", ".template", ".dist")
_KEYS = (".pem", ".key", ".p8")
_FIRST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """One folder (`name/`) or file that is sent; of the code, what lies at its top."""

    path: str
    files: int
    size_bytes: int


def parts_of(job: Job, private: Iterable[Path] = ()) -> list[Part]:
    """What is sent of the person's own files, the largest first; our programs are small.

    Raises: SpecError when the code's folder cannot be sent.
    """
    parts: list[Part] = []
    if job.code is not None:
        parts += [Part(*part) for part in code_files(job.code.path, private).by_top()]
    if job.data is not None:
        files = (job.data.train, job.data.eval)
        parts += [_of_file(path) for path in files if path is not None and path.is_file()]
    if isinstance(job.model, LocalModel):
        sizes = [one.stat().st_size for one in job.model.path.rglob("*") if one.is_file()]
        parts.append(Part(f"{job.model.path.name}/", len(sizes), sum(sizes)))
    return sorted(parts, key=lambda part: (-part.size_bytes, part.path))


def in_words(parts: list[Part]) -> str:
    """One line of how much that is, and where most of it lies."""
    named = ", ".join(f"{part.path} {mebibytes(part.size_bytes)}" for part in parts[:_MOST_NAMED])
    more = len(parts) - _MOST_NAMED
    rest = f", and {more} more" if more > 0 else ""
    total = f"{sum(part.files for part in parts)} files, {mebibytes(_size_bytes(parts))}"
    return f"{total} ({named}{rest})" if parts else "nothing"


def too_large(parts: list[Part]) -> str:
    """What to do about a transfer that takes paid minutes; empty for a usual one."""
    if _size_bytes(parts) < _LARGE_BYTES:
        return ""
    return f"leave out what the job does not need: name {parts[0].path} in {IGNORE_FILE}"


def secrets_sent(job: Job, private: Iterable[Path] = ()) -> str:
    """A warning that names what of the code looks like a secret and is sent; empty for none.

    It is sent all the same: many programs read their settings from an `.env`.
    """
    if job.code is None:
        return ""
    listing = code_files(job.code.path, private)
    found = [one.path for one in listing.files if _looks_secret(listing.folder, one.path)]
    named = ", ".join(found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"what looks like a secret is sent to the machine: {named}{more}" if found else ""


def _looks_secret(folder: Path, path: str) -> bool:
    """Whether a file is by its name a secret, or a private key by its first line."""
    name = path.rpartition("/")[2]
    if name in _SECRETS or path.endswith(_SECRET_PATHS):
        return True
    if name.startswith(".env."):
        return not name.endswith(_EXAMPLES)
    if not name.endswith(_KEYS) and not name.startswith("id_"):
        return False
    try:
        with (folder / path).open("rb") as file:
            return b"PRIVATE KEY-----" in file.read(_FIRST_BYTES)
    except OSError:
        return False


def mebibytes(size_bytes: int) -> str:
    """A size as a person reads it.

    >>> mebibytes(3 * 2**20), mebibytes(1)
    ('3.0 MiB', '0.1 MiB')
    """
    return f"{max(0.1, size_bytes / 2**20):.1f} MiB" if size_bytes else "0 MiB"


def explain_path(job: Job, path: str, here: Path, private: Iterable[Path] = ()) -> Explained:
    """Whether a path is sent, and the rule that says so.

    Args:
        path: absolute, or below `here` or the code's folder.

    Raises: UsageError when the job sends no folder and `path` is none of its files.
    """
    absolute = (here / path).absolute()
    if job.data is not None:
        for name, file in (("train", job.data.train), ("eval", job.data.eval)):
            if file is not None and file.resolve() == absolute.resolve():
                place = f"{protocol.DATA_DIR}/{name}{file.suffix}"
                return Explained(path, True, f"data.{name} of the job, as {place}")
    if job.code is None:
        raise UsageError(
            f"{path} is no file of this job, and it sends no folder",
            hint="ignore rules are for a job with `code:`",
        )
    folder = job.code.path.resolve()
    inside = absolute.parent.resolve() / absolute.name  # a link is meant, not what it names
    is_there = inside.is_relative_to(folder) and (inside.exists() or inside.is_symlink())
    return code_files(folder, private).explain(str(inside) if is_there else path)


def _of_file(path: Path) -> Part:
    return Part(path.name, 1, path.stat().st_size)


def _size_bytes(parts: list[Part]) -> int:
    return sum(part.size_bytes for part in parts)
