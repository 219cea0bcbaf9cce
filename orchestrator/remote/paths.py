"""Which relative paths are plain: the rule for all that crosses to or from a machine. Pure."""

from __future__ import annotations

PATH_LIMIT_BYTES = 1024
NAME_LIMIT_BYTES = 240


def path_problem(path: str) -> str | None:
    r"""Why `path` is not a plain relative path, or None when it is one.

    >>> path_problem("output/model/a.bin") is None
    True
    >>> path_problem("../x")
    "has the part '..'"
    >>> path_problem("/etc/passwd")
    'is absolute'
    """
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if "\\" in path:
        return "has a backslash"
    if not path.isprintable():
        return "has a control or invisible character"
    if len(path.encode("utf-8", "surrogatepass")) > PATH_LIMIT_BYTES:
        return f"is longer than {PATH_LIMIT_BYTES} bytes"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"has the part {part!r}"
        if len(part.encode("utf-8", "surrogatepass")) > NAME_LIMIT_BYTES:
            return f"has a name longer than {NAME_LIMIT_BYTES} bytes"
    return None


def checked(path: str) -> str:
    """`path` itself when it is plain. Raises ValueError: our own mistake."""
    if problem := path_problem(path):
        raise ValueError(f"{shown(path)} {problem}")
    return path


def shown(text: str, limit: int = 200) -> str:
    r"""Untrusted text made safe for a message: quoted, ASCII, short.

    >>> shown("a\x1b[31mb")
    "'a\\x1b[31mb'"
    """
    quoted = ascii(text[:limit])
    return quoted if len(text) <= limit else quoted + "…"
