"""No file of the project names the computer that it was written on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.conventions.source import PROJECT, tracked

PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org"}
EVERYWHERE = {
    "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root", "run",
    "sbin", "srv", "sys", "tmp", "usr", "var", "private", "Users", "workspace",
}  # fmt: skip


def places_of_this_computer(checkout: Path, pip_settings: str) -> set[str]:
    """Paths and hosts that mean something here only: of the checkout, and of pip's settings.

    >>> sorted(places_of_this_computer(Path("/jail/x"), "global.find-links='/opt/some/wheels'"))
    ['/jail/', '/jail/x', '/opt/some/wheels']
    >>> places_of_this_computer(Path("/"), "global.index-url='https://mirror.lan/simple'")
    {'mirror.lan'}
    """
    places = {str(checkout)} if len(checkout.parts) > 2 else set()
    if len(checkout.parts) > 1 and checkout.parts[1] not in EVERYWHERE:
        places.add(f"/{checkout.parts[1]}/")
    for value in re.findall(r"(?:index-url|find-links|proxy)='([^']*)'", pip_settings):
        for word in value.replace("\\n", " ").split():
            url = urlsplit(word)
            if url.hostname and url.hostname not in PUBLIC_HOSTS:
                places.add(url.hostname)
            elif not url.hostname and len(Path(url.path).parts) > 2:
                places.add(url.path.rstrip("/"))
    return places


def test_no_file_names_a_place_of_this_computer() -> None:
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    places = places_of_this_computer(PROJECT, settings.stdout)
    pattern = re.compile("|".join(rf"{re.escape(place)}(?![\w-])" for place in sorted(places)))
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(PROJECT)} names {hit}" for hit in set(pattern.findall(text))]

    assert places
    assert not found, "\n".join(found)
