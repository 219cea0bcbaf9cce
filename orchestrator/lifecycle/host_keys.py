"""Host keys that are made at home and given to a machine when it is rented.

Where cloud-init or a startup script gets what a create sends, the key is durable before the create.
The machine's sshd may show another one until that is through: it is waited past, never believed.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import HomeError
from orchestrator.remote.keys import host_key_line, make_key_pair

_FOLDER = "keys"


def new_host_key(run_folder: Path, label: str) -> tuple[str, str]:
    """Private and public half for the machine under a label; durable when this returns.

    One per label: a machine that was lost cannot stand for the next one. Raises: HomeError.
    """
    pair = make_key_pair(run_folder / _FOLDER / label)
    try:
        return pair.private_path.read_text(), pair.public_line
    except OSError as error:
        raise HomeError(f"The host key in {pair.private_path} cannot be read: {error}") from error


def given_host_key(run_folder: Path, label: str) -> str:
    """The host key line of the machine under a label; "" when none was made for it here."""
    folder = run_folder / _FOLDER / label
    if not folder.is_dir():
        return ""
    try:
        return host_key_line(make_key_pair(folder).public_line)
    except HomeError:
        return ""
