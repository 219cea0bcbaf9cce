"""Rows to learn from, whatever their columns are called, as TRL wants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from training.records import first_of, read_records
from training.settings import fail

Message: TypeAlias = dict[str, str]
Example: TypeAlias = dict[str, str | list[Message]]

# Layout → role → columns that usually have it; the first layout whose roles are all found is
# taken. gpulease recognises by the same table before it rents anything (orchestrator/spec).
LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "messages": {"messages": ("messages", "conversations", "conversation", "dialogue")},
    "prompt-completion": {"prompt": ("prompt",), "completion": ("completion",)},
    "instruction": {
        "instruction": ("instruction", "question", "query", "problem", "prompt", "input"),
        "output": ("output", "response", "answer", "solution", "completion"),
    },
    "text": {"text": ("text", "content")},
}
OPTIONAL = {"input": ("input", "context"), "system": ("system", "system_prompt")}
COLUMNS = (*dict.fromkeys(role for roles in LAYOUTS.values() for role in roles), *OPTIONAL)

# ShareGPT's words, and the ones that chat templates know.
ROLES = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one file, each role under our own name for it."""

    layout: str
    columns: Mapping[str, str]  # role → column
    rows: list[dict[str, str | list[Message]]]

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, n: int) -> Rows:
        """The first `n` rows."""
        return replace(self, rows=self.rows[:n])

    @property
    def is_chat(self) -> bool:
        """Rows are messages of somebody to somebody."""
        return any(isinstance(value, list) for value in self.rows[0].values())

    def examples(self, *, chat: bool) -> Iterator[Example]:
        """As TRL wants them. `chat`: the model has a template for conversations."""
        for row in self.rows:
            yield _instruction(row, chat=chat) if self.layout == "instruction" else row


def read_rows(path: Path, columns: Mapping[str, str]) -> Rows:
    """All rows of a file; columns that are not named are recognised. Ends the program."""
    layout, found, rows = "", dict(columns), []
    for line, row in read_records(path):
        where = f"{path.name}:{line}"
        if not layout:
            layout, found = _recognise(row, columns, where)
        rows.append(_row(row, layout, found, where))
    if not rows:
        fail(f"{path.name}: no rows")
    return Rows(layout, found, rows)


def alpaca(instruction: str, text: str = "") -> str:
    r"""The prompt for a model without a chat template.

    >>> alpaca("Say hello.")
    '### Instruction:\nSay hello.\n\n### Response:\n'
    """
    given = f"### Input:\n{text}\n\n" if text else ""
    return f"### Instruction:\n{instruction}\n\n{given}### Response:\n"


def _recognise(
    row: dict[str, object], asked: Mapping[str, str], where: str
) -> tuple[str, dict[str, str]]:
    for layout, roles in LAYOUTS.items():
        optional = OPTIONAL if layout == "instruction" else {}
        if asked and not asked.keys() <= {*roles, *optional}:
            continue
        found = {role: asked.get(role) or first_of(known, row) for role, known in roles.items()}
        columns = {role: name for role, name in found.items() if name in row and name}
        if len(columns) < len(roles):
            continue
        for role, known in optional.items():
            name = asked.get(role) or first_of(known, row)
            if name in row and name and name not in columns.values():
                columns[role] = name
        return layout, columns
    among = ", ".join(repr(name) for name in row) or "no columns"
    return fail(f"{where}: no column to learn from among {among}")


def _row(
    row: dict[str, object], layout: str, columns: Mapping[str, str], where: str
) -> dict[str, str | list[Message]]:
    made: dict[str, str | list[Message]] = {}
    for role, column in columns.items():
        value = row.get(column)
        if role in OPTIONAL and (value is None or value == ""):
            continue
        if role == "messages" or (layout == "prompt-completion" and isinstance(value, list)):
            made[role] = _messages(value, f"{where}: {column!r}")
        elif isinstance(value, str) and value.strip():
            made[role] = value
        else:
            fail(f"{where}: no text in column {column!r}")
    return made


def _messages(value: object, where: str) -> list[Message]:
    if not isinstance(value, list) or not value:
        fail(f"{where} must be a list of messages")
    messages = []
    for number, message in enumerate(value, 1):
        told = message if isinstance(message, dict) else {}
        role, content = told.get("role", told.get("from")), told.get("content", told.get("value"))
        if role not in ROLES:
            fail(f"{where}: message {number} has the role {role!r}; known: {', '.join(ROLES)}")
        if not isinstance(content, str):
            fail(f"{where}: message {number} has no text")
        messages.append({"role": ROLES[role], "content": content})
    return messages


def _instruction(row: Mapping[str, str | list[Message]], *, chat: bool) -> Example:
    texts = {role: text for role, text in row.items() if isinstance(text, str)}
    if not chat:
        instruction = "\n\n".join(filter(None, (texts.get("system"), texts["instruction"])))
        prompt = alpaca(instruction, texts.get("input", ""))
        return {"prompt": prompt, "completion": texts["output"]}
    asked = "\n\n".join(filter(None, (texts["instruction"], texts.get("input"))))
    prompt_messages = [{"role": "user", "content": asked}]
    if "system" in texts:
        prompt_messages.insert(0, {"role": "system", "content": texts["system"]})
    answer = [{"role": "assistant", "content": texts["output"]}]
    return {"prompt": prompt_messages, "completion": answer}
