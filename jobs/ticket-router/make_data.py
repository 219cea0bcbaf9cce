"""Writes data/: the quickstart's tickets as conversations with a dispatcher who answers in JSON.

    python jobs/ticket-router/make_data.py

Urgent is what keeps somebody from working: every ticket about logging in, and every bug.
"""

from __future__ import annotations

import json
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_TICKETS = _HERE.parent / "quickstart" / "data"
_ASKED = "Sort the ticket. Answer in JSON with the keys team and urgent."
_URGENT = ("login", "bug")


def conversation(ticket: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """One row: what is asked, and the answer that is learned."""
    answer = json.dumps({"team": ticket["label"], "urgent": ticket["label"] in _URGENT})
    return {
        "prompt": [
            {"role": "system", "content": _ASKED},
            {"role": "user", "content": ticket["text"]},
        ],
        "completion": [{"role": "assistant", "content": answer}],
    }


def write(folder: Path) -> None:
    """Both files."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "eval"):
        lines = (_TICKETS / f"tickets.{split}.jsonl").read_text().splitlines()
        rows = [conversation(json.loads(line)) for line in lines]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"router.{split}.jsonl").write_text(text)


if __name__ == "__main__":
    write(_HERE / "data")
