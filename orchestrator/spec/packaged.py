"""Where `jobs/` and `templates/` lie: in the wheel first, in the checkout second."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def packaged(name: str) -> Path:
    """The folder `jobs` or `templates`.

    Raises FileNotFoundError when the installation has neither.
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of gpulease has no {name}/")
