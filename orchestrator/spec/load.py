"""YAML → job: every mistake of the file at once, each with file:line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.errors import SpecError
from orchestrator.spec.document import (
    MAX_BYTES,
    Document,
    Keys,
    Place,
    Problem,
    Unreadable,
    Value,
    read_document,
)
from orchestrator.spec.explain import Mistake, dotted
from orchestrator.spec.job import Job, Origin, read_job

_STDIN = "stdin"
_HINT = "`gpulease init` writes a job to start from"


def load_job(
    path: str | Path,
    *,
    sets: Iterable[str] = (),
    stdin_text: str | None = None,
    fetch: Callable[[str], Path] | None = None,
) -> Job:
    """The job in the file `path`, or in `stdin_text` where `path` is `-`.

    `sets` are the texts of `--set a.b=value`, in order; a value is read as YAML. Paths in the job
    are relative to the file's folder, or to the current one for `-`. Data that lies elsewhere is
    brought by `fetch`, once nothing else is wrong.

    Raises: SpecError with every mistake.
    """
    if str(path) == "-":
        source, folder = _STDIN, Path.cwd()
        content: bytes | str = stdin_text or ""
    else:
        source, folder = str(path), Path(path).resolve().parent
        content = _read_file(Path(path))
    try:
        document = read_document(content, source)
    except Unreadable as error:
        raise SpecError([str(error.problem)], hint=_HINT) from error
    return _to_job(document, folder, sets, Origin(str(path), document.place), fetch)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            return handle.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([f"{path}: cannot be read: {reason}"], hint=_HINT) from error


def _to_job(
    document: Document,
    folder: Path,
    sets: Iterable[str],
    origin: Origin,
    fetch: Callable[[str], Path] | None,
) -> Job:
    problems = list(document.problems)
    value = document.value
    if not isinstance(value, dict):
        text = "a job is a mapping of keys to values, such as `kind: finetune`"
        raise SpecError([str(Problem(document.place(()), text))], hint=_HINT)
    for text in sets:
        try:
            _apply(text, value, document.places)
        except Unreadable as error:
            problems.append(error.problem)
    mistakes: list[Mistake] = []
    if "folder" in value:  # ours, and not the file's to say
        del value["folder"]
        mistakes.append(Mistake(("folder",), "unknown key `folder`"))
    elsewhere: list[str] = []

    def note(address: str) -> Path:
        elsewhere.append(address)
        return folder / "data"

    job = read_job(value, folder, files_must_exist=True, origin=origin, fetch=note)
    if elsewhere and not (problems or mistakes or isinstance(job, list)):
        job = read_job(value, folder, files_must_exist=True, origin=origin, fetch=fetch)
    if isinstance(job, list):
        mistakes += job
    problems += [Problem(document.place(mistake.keys), mistake.text) for mistake in mistakes]
    if problems or isinstance(job, list):
        problems.sort(key=lambda problem: (problem.place.line == 0, problem.place.line))
        raise SpecError([str(problem) for problem in problems], hint=origin.check_hint)
    return job


def _apply(setting: str, value: dict[str, Value], places: dict[Keys, Place]) -> None:
    """Write one `a.b=value` into the document. Raises Unreadable."""
    name, equals, text = setting.partition("=")
    keys = tuple(name.strip().split("."))
    place = Place(f"--set {name.strip()}")
    if not equals or not all(keys):
        raise Unreadable(Problem(Place("--set"), "must be written as key=value or a.b=value"))
    target = value
    for depth, key in enumerate(keys[:-1], 1):
        inner = target.get(key)
        if inner is None or inner == "auto":
            inner = target[key] = {}
            places[keys[:depth]] = place
        if not isinstance(inner, dict):
            above = dotted(keys[:depth])
            raise Unreadable(Problem(place, f"`{above}` is not a mapping: nothing is below it"))
        target = inner
    try:
        target[keys[-1]] = read_document(text, place.source).value if text.strip() else None
    except Unreadable as error:
        raise Unreadable(Problem(place, error.problem.text)) from error
    for old in [path for path in places if path[: len(keys)] == keys]:
        del places[old]
    places[keys] = place
