"""Prints what RunPod's own SDK lists, as JSON; run by file name in an environment that has it.

It is a program of its own because the SDK keeps key and address in globals and the environment,
and takes two seconds to import. stdin: {"key", "url"}; the key is on no command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys


def main() -> int:
    """Ask for every pod of the account. Exit code 1 with a reason on stderr."""
    asked = json.load(sys.stdin)
    if asked["url"]:
        os.environ["RUNPOD_API_BASE_URL"] = asked["url"].removesuffix("/graphql")
    with contextlib.redirect_stdout(sys.stderr):
        import runpod

    try:
        pods = runpod.get_pods(api_key=asked["key"])
    except Exception as error:  # whatever it raises, only its kind is safe to tell
        sys.stderr.write(f"{type(error).__name__}\n")
        return 1
    json.dump([str(pod["id"]) for pod in pods], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
