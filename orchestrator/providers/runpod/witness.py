"""A second list of the account's machines, by RunPod's own SDK where it is installed.

It comes over GraphQL, and ours over REST v2: a machine that only one of them shows is not left
unseen. `pip install 'gpulease[runpod]'` brings the SDK.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from orchestrator.errors import ProviderDown
from orchestrator.providers.base import Secret

_LIMIT_S = 60.0
_PROGRAM = Path(__file__).with_name("sdk_list.py")


def sdk_python() -> str | None:
    """An interpreter that has the SDK: this one, or none."""
    return sys.executable if find_spec("runpod") else None


def ids_by_sdk(python: str, key: Secret, graphql_url: str) -> frozenset[str]:
    """Ids of every machine on the account, as the SDK tells them. Raises: ProviderDown."""
    asked = json.dumps({"key": key.get_secret_value(), "url": graphql_url})
    command = [python, "-I", str(_PROGRAM)]
    try:
        ended = subprocess.run(
            command, input=asked, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        found = json.loads(ended.stdout) if ended.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ProviderDown(f"RunPod's SDK gave no list ({type(error).__name__})") from error
    if not isinstance(found, list):
        why = ended.stderr.strip().splitlines()[-1:] or ["no reason"]
        raise ProviderDown(f"RunPod's SDK gave no list ({why[0][:80]})")
    return frozenset(str(one) for one in found)
