"""Tells uv what this computer's pip already knows: where packages come from.

uv reads no pip configuration, so on a computer with its own index, mirror or folder of wheels
it would look in the wrong place. Read when needed, written nowhere:

    eval "$(.venv/bin/python infra/pip_to_uv.py)" && .venv/bin/uv pip install …
"""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

_UV_NAME = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
_SEVERAL = {"extra-index-url", "find-links", "trusted-host"}


def to_uv(pip_settings: str) -> dict[str, str]:
    r"""uv's environment for the lines that `pip config list` prints.

    A later section wins over an earlier one, and pip's own environment over all.

    >>> to_uv("global.find-links='/a\\n/b'\n:env:.no-index='1'")
    {'UV_FIND_LINKS': '/a,/b', 'UV_NO_INDEX': '1'}
    >>> to_uv("global.extra-index-url='https://one/simple'")["UV_INDEX_STRATEGY"]
    'unsafe-best-match'
    """
    rank = {"global": 0, "install": 1, ":env:": 2}
    found: dict[str, tuple[int, str]] = {}
    for line in pip_settings.splitlines():
        name, equals, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if not equals or key not in _UV_NAME or section not in rank:
            continue
        if rank[section] >= found.get(key, (0, ""))[0]:
            found[key] = (rank[section], str(ast.literal_eval(value)))
    uv = {}
    for key, (_, value) in found.items():
        separator = "," if key == "find-links" else " "
        uv[_UV_NAME[key]] = separator.join(value.split()) if key in _SEVERAL else value
    if "UV_INDEX" in uv:
        uv["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip looks in all of its indexes as well
    return uv


def uv_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What to add to `environment` for uv; a variable that is set there already is left alone."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    uv = to_uv(listed.stdout)
    return {name: value for name, value in uv.items() if value and name not in environment}


if __name__ == "__main__":
    for name, value in uv_environment().items():
        print(f"export {name}={shlex.quote(value)}")
