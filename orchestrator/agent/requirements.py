"""What an environment is made from beside the text of its requirements: files that came along."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator
from urllib.parse import unquote, urlsplit

_CONTINUED = re.compile(r"\\\r?\n")
_COMMENT = re.compile(r"(^|\s)#.*")
_NAMES_A_FILE = re.compile(r"(-r|-c|--requirements?|--constraints?)(?:\s*=\s*|\s*)(\S.*)")
_EDITABLE = re.compile(r"(-e|--editable)\b")
_NAMES_A_PLACE = re.compile(
    r"(-f|-i|--find-links|--index-url|--extra-index-url|--index|--default-index)"
    r"(?:\s*=\s*|\s*)(\S+)"
)
_PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*\s*(\[[^\]]*\])?\s*")
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tar\.(gz|bz2|xz|zst)|tgz|tbz|txz)$")
_HERE = ("", "file")
_TRUSTS_FOLDERS = re.compile(r"\bpath\s*=|\bworkspace\s*=|\bdynamic\s*=|\beditable\s*=")
_BLOCK_BYTES = 1 << 20


@dataclass
class Ingredients:
    """What the requirements name. `code` is the folder that they are installed in."""

    code: Path
    files: set[Path] = field(default_factory=set)
    has_folders: bool = False  # uv believes that what it once built of one is still the same
    is_editable: bool = False  # what installing put into the code is gone when it is sent again

    def digest(self) -> str:
        """Of the names and contents of all files."""
        digest = hashlib.sha256()
        for path in sorted(self.files):
            digest.update(repr(str(path)).encode())
            content = hashlib.sha256()
            with path.open("rb") as file:
                for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
                    content.update(block)
            digest.update(content.digest())
        return digest.hexdigest()


def ingredients(code: Path, requirements: Path) -> Ingredients:
    """Which files of `code` the requirements lead to, themselves included. Raises: OSError."""
    found = Ingredients(code)
    if requirements.suffix in (".txt", ".in", ""):
        _read(found, requirements)
        return found
    found.files.add(requirements)
    text = requirements.read_text(errors="replace")
    if requirements.suffix != ".toml" or _TRUSTS_FOLDERS.search(text):
        _add(found, code)
    return found


def _read(found: Ingredients, path: Path) -> None:
    """One file of requirements, and those that it names."""
    if path in found.files:
        return
    found.files.add(path)
    for line in _lines(path.read_text(errors="replace")):
        if _EDITABLE.match(line):
            found.is_editable = found.has_folders = True
        elif named := _NAMES_A_FILE.match(line):
            for other in _places(found.code, path, named.group(2).strip("'\" ")):
                if other.is_file() and _is_below(found.code, other):
                    _read(found, other)
        elif place := _place(line):
            known = [one for one in _places(found.code, path, place) if one.exists()]
            for one in known or [found.code]:  # what is not understood may be any of it
                _add(found, one)


def _lines(text: str) -> Iterator[str]:
    for line in _CONTINUED.sub(" ", text).splitlines():
        if said := _COMMENT.sub("", line).strip():
            yield said


def _place(line: str) -> str:
    """The file or folder that a line names; empty where it names none of this machine.

    >>> _place("six==1.17.0 ; python_version > '3'")
    ''
    >>> _place("mine @ file:wheels/mine-1.0-py3-none-any.whl")
    'wheels/mine-1.0-py3-none-any.whl'
    >>> _place("wheels/mine-1.0-py3-none-any.whl --hash=sha256:00")
    'wheels/mine-1.0-py3-none-any.whl'
    >>> _place("mine @ https://example.org/mine.whl"), _place("--find-links=wheels")
    ('', 'wheels')
    """
    if option := _NAMES_A_PLACE.match(line):
        return _path_of(option.group(2))
    if line.startswith("-"):
        return ""
    package = _PACKAGE.match(line)
    rest = line[package.end() :] if package else line
    if package and rest.startswith("@"):
        return _path_of(_first_word(rest[1:]))
    word = _first_word(line)
    is_package = package and (not rest or rest[0] in "=<>!~;(" or rest.startswith("--"))
    return "" if is_package and not _ARCHIVE.search(word) else _path_of(word)


def _first_word(text: str) -> str:
    return text.replace(";", " ; ").split()[0] if text.strip() else ""


def _path_of(word: str) -> str:
    """The path in a file: URL, or the word itself; empty for an address elsewhere."""
    address = urlsplit(word.strip("'\""))
    return unquote(address.path) if address.scheme in _HERE else ""


def _places(code: Path, named_in: Path, name: str) -> list[Path]:
    """Where a relative name may lie: installers differ in what it is relative to."""
    places = (code / name, named_in.parent / name)
    return list(dict.fromkeys(Path(os.path.normpath(str(place))) for place in places))


def _add(found: Ingredients, path: Path) -> None:
    if not _is_below(found.code, path):
        return  # the machine's own: no job changes it
    if path.is_file():
        found.files.add(path)
        return
    found.has_folders = True
    found.files.update(one for one in path.rglob("*") if one.is_file())


def _is_below(code: Path, path: Path) -> bool:
    return path == code or code in path.parents
