"""Files and folders that a job names: absolute once read, relative to the job file before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from orchestrator.errors import GpuleaseError
from orchestrator.spec.nearest import quoted
from orchestrator.spec.section import not_yet, wrong

_SCHEMES = ("s3", "https", "http")  # http: of this computer alone
_MISSING_FILE_HINT = " (a data set of the hub is not yet supported: download it first)"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What reading a job knows beside its text."""

    folder: Path
    files_must_exist: bool = False
    fetch: Callable[[str], Path] | None = None  # brings data that lies elsewhere


def surroundings(info: ValidationInfo) -> Surroundings:
    """The context of a validation; without one, paths are relative to the current folder."""
    return info.context if isinstance(info.context, Surroundings) else Surroundings(Path.cwd())


def resolve(text: str, folder: Path) -> Path:
    """The absolute path of `text` as seen from `folder`. Raises PydanticCustomError."""
    try:
        return (folder / Path(text).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise wrong(f"{quoted(text)} is not a path that can be followed") from error


def shown(path: Path, folder: Path) -> str:
    """The path as the person knows it: relative to the job file where it lies below it."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _read(raw: object, info: ValidationInfo) -> tuple[Path, Surroundings]:
    around = surroundings(info)
    if isinstance(raw, Path):
        return raw, around
    if not isinstance(raw, str) or not raw.strip():
        raise wrong("must be a path")
    if "://" in raw:
        raise not_yet(quoted(raw.split("://")[0] + "://"), "folders of this computer")
    return resolve(raw, around.folder), around


def _read_file(raw: object, info: ValidationInfo) -> Path:
    if isinstance(raw, str) and "://" in raw:
        return _read_address(raw, surroundings(info))
    path, around = _read(raw, info)
    if around.files_must_exist and not _is_file(path):
        name = quoted(str(raw))
        if _is_folder(path):
            raise wrong(f"{name} is a folder, not a file")
        hint = "" if path.suffix else _MISSING_FILE_HINT
        raise wrong(f"there is no file {name} in {around.folder}{hint}")
    return path


def _read_address(address: str, around: Surroundings) -> Path:
    """The file at home that an address stands for. What it says may be secret, and is not told."""
    scheme = address.partition("://")[0]
    if scheme not in _SCHEMES:
        raise not_yet(quoted(f"{scheme}://"), "files of this computer, s3:// and https://")
    if not address.isprintable() or not address.isascii() or not urlsplit(address).hostname:
        raise wrong(f"is no address that can be: {scheme}://…")
    if around.fetch is None:
        raise wrong(f"{scheme}://… can only be read from a job file")
    try:
        return around.fetch(address)
    except GpuleaseError as error:
        raise wrong(error.problem) from error


def _read_folder(raw: object, info: ValidationInfo) -> Path:
    path, around = _read(raw, info)
    if around.files_must_exist and not _is_folder(path):
        what = "is a file, not a folder" if _is_file(path) else f"is not in {around.folder}"
        raise wrong(f"folder {quoted(str(raw))} {what}")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


_PATH_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1})
File = Annotated[Path, BeforeValidator(_read_file), _PATH_SCHEMA]
Folder = Annotated[Path, BeforeValidator(_read_folder), _PATH_SCHEMA]
