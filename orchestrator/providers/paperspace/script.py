"""The startup script of one machine: who may log in, and by which host key it is known. Pure."""

from __future__ import annotations

import re

from orchestrator.spec.packaged import packaged

LIMIT_BYTES = 16_000  # how long one may be is not documented
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# A line of OpenSSH, which stands between quotes; and what PEM is made of.
_LINE = re.compile(r"[A-Za-z0-9@ +/=._-]+")
_PEM = re.compile(r"[A-Za-z0-9 +/=\n-]+")


def startup_script(
    user: str, public_key: str, host_private_key: str = "", host_public_key: str = ""
) -> str:
    """What root runs at the first boot: POSIX sh.

    Args:
        host_private_key: of the machine's own sshd, "" to leave it the key that it has. It is the
            machine's secret alone and opens nothing else.

    Raises ValueError for what no shell text should hold, or a script that grew over LIMIT_BYTES.
    """
    words = {
        "USER": (user, _USER),
        "PUBLIC_KEY": (public_key.strip(), _LINE),
        "HOST_PRIVATE_KEY": (host_private_key.strip(), _PEM),
        "HOST_PUBLIC_KEY": (host_public_key.strip(), _LINE),
    }
    text = (packaged("templates") / "paperspace_startup.sh").read_text()
    if not host_private_key:
        text = text.partition("# The host key ")[0]
        words = {word: words[word] for word in ("USER", "PUBLIC_KEY")}
    for word, (value, shape) in words.items():
        if not shape.fullmatch(value):
            raise ValueError(f"{word.lower()} is none that a shell text should hold")
        text = text.replace(f"@{word}@", value)
    lines = text.splitlines()
    script = "".join(f"{one}\n" for n, one in enumerate(lines) if n == 0 or not one.startswith("#"))
    if len(script.encode()) > LIMIT_BYTES:
        raise ValueError(f"the startup script has {len(script.encode())} bytes")
    return script
