"""Rows that a language model learns from: conversations, prompts with completions, plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.spec.data import LARGE_BYTES, DataReport, FileFacts
from orchestrator.spec.job import Columns, FinetuneJob
from orchestrator.spec.nearest import did_you_mean, quoted
from orchestrator.spec.paths import shown
from orchestrator.spec.rows import BadRow, DataFile, Row

# Layout → role → columns that usually have it; the first layout whose roles are all found is
# taken. The program recognises by the same tables (jobs/causal-lm/rows.py); a test compares them.
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
ROLES = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
}

# Markers that a chat template puts around one message, in tokens: 4 to 6 with ChatML and Llama 3.
MARKERS_OF_A_MESSAGE = 6

_MOST_PROBLEMS = 20
_MOST_COMPARED_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """What a row is made of, and which column holds what."""

    name: str
    columns: Mapping[str, str]  # role → column


def check_examples(job: FinetuneJob, *, large_bytes: int = LARGE_BYTES) -> DataReport:
    """Read the data of a causal-lm job once, whole. Never raises for what is in a file."""
    assert job.data is not None
    check = _Check(job, large_bytes)
    train = check.read(job.data.train)
    evaluation = None
    if job.data.eval is None:
        check.warnings.append("no data.eval: nothing will say how good the model is")
    elif job.data.eval == job.data.train:
        check.warnings.append("eval is the same file as train: the loss will say nothing")
        evaluation = train
    else:
        evaluation = check.read(job.data.eval, after=train)
    return check.report(train, evaluation)


def example_texts(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """(text, messages) of every row of a file that `check_examples` found good.

    The text is all that the model reads of the row; the count says how often a chat template adds
    its markers, 0 for plain text.
    """
    for _, row in DataFile(path).rows():
        if isinstance(row, BadRow):
            continue
        parts = [row.get(column) for column in columns.values()]
        texts, messages = [], 0
        for part in parts:
            if isinstance(part, list):
                texts += [_content(message) for message in part if isinstance(message, dict)]
                messages += len(part)
            elif isinstance(part, str):
                texts.append(part)
        if "instruction" in columns:
            messages = 2 + ("system" in columns)
        yield "\n".join(texts), messages


@dataclass(slots=True)
class _Pass:
    """What one pass over one file found."""

    file: DataFile
    rows: int = 0
    longest_chars: int = 0
    seen: set[int] = field(default_factory=set)
    repeated: int = 0

    def facts(self) -> FileFacts:
        return FileFacts(self.file.path, self.rows, self.file.size_bytes, self.file.sha256)


class _Check:
    def __init__(self, job: FinetuneJob, large_bytes: int) -> None:
        assert job.data is not None
        self._folder = job.folder
        self._asked = _asked(job.data.columns)
        self._large_bytes = large_bytes
        self._names: tuple[str, ...] = ()
        self._layout: Layout | None = None
        self._is_chat = False
        self._more = 0
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def read(self, path: Path, after: _Pass | None = None) -> _Pass:
        found = _Pass(DataFile(path))
        name = shown(path, self._folder)
        broken = 0
        try:
            for line, row in found.file.rows():
                if isinstance(row, BadRow):
                    broken += 1
                    self._problem(name, line, row.text)
                elif self._layout is None and not self._recognise(name, line, row):
                    found.file = DataFile(path)
                    found.file.read_through()
                    return found
                else:
                    self._row(found, name, line, row, after)
        except OSError as error:
            self._problem(name, 1, f"cannot be read: {error.strerror or error}")
            return found
        if found.rows == 0 and broken == 0:
            self._problem(name, 1, "no rows")
        if found.file.size_bytes > self._large_bytes:
            size_gib = found.file.size_bytes / 2**30
            self.warnings.append(f"{name} has {size_gib:.3g} GiB: sending it takes a while")
        return found

    def report(self, train: _Pass, evaluation: _Pass | None) -> DataReport:
        if evaluation is not None and evaluation is not train and evaluation.repeated:
            counts = f"{evaluation.repeated} of {evaluation.rows}"
            self.warnings.append(f"{counts} rows of eval are also in train: the loss will flatter")
        if self._more:
            self.problems.append(f"and {self._more} more")
        layout = self._layout or Layout("", {})
        return DataReport(
            train=train.facts(),
            eval=evaluation.facts() if evaluation else None,
            columns=self._names,
            layout=layout.name,
            roles=dict(layout.columns),
            is_chat=self._is_chat,
            longest_text_chars=train.longest_chars,
            problems=self.problems,
            warnings=self.warnings,
        )

    def _recognise(self, name: str, line: int, row: Row) -> bool:
        self._names = tuple(column for column in row if isinstance(column, str))
        self._layout = recognise(row, self._asked)
        if self._layout is not None:
            columns = self._layout.columns.values()
            self._is_chat = any(isinstance(row.get(column), list) for column in columns)
            return True
        among = ", ".join(quoted(column) for column in self._names[:12]) or "no columns"
        for role, column in self._asked.items():
            if column not in row:
                guess = did_you_mean(column, self._names)
                text = f"no column {quoted(column)} (data.columns.{role}) among {among}{guess}"
                self._problem(name, line, text)
                return False
        wanted = "; ".join(" + ".join(roles) for roles in LAYOUTS.values())
        text = f"nothing to learn from among {among}: rows need {wanted}; or set data.columns"
        self._problem(name, line, text)
        return False

    def _row(self, found: _Pass, name: str, line: int, row: Row, after: _Pass | None) -> None:
        assert self._layout is not None
        found.rows += 1
        for problem in row_problems(row, self._layout):
            self._problem(name, line, problem)
        parts = [str(row.get(column, "")) for column in self._layout.columns.values()]
        found.longest_chars = max(found.longest_chars, sum(map(len, parts)))
        digest = hash(tuple(parts))
        if after is not None:
            found.repeated += digest in after.seen
        elif len(found.seen) < _MOST_COMPARED_ROWS:
            found.seen.add(digest)

    def _problem(self, name: str, line: int, text: str) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            self._more += 1
        else:
            self.problems.append(f"{name}:{line}: {text}")


def recognise(row: Row, asked: Mapping[str, str]) -> Layout | None:
    """The first layout whose columns are all in `row`.

    Args:
        asked: role → column, where the job says so.

    >>> recognise({"question": "Why?", "answer": "So."}, {})
    Layout(name='instruction', columns={'instruction': 'question', 'output': 'answer'})
    """
    by_folded = {name.casefold(): name for name in reversed([n for n in row if isinstance(n, str)])}
    for layout, roles in LAYOUTS.items():
        optional = OPTIONAL if layout == "instruction" else {}
        if not asked.keys() <= {*roles, *optional}:
            continue
        columns: dict[str, str] = {}
        for role, known in {**roles, **optional}.items():
            guesses = (by_folded[word] for word in known if word in by_folded)
            column = asked.get(role) or next(guesses, "")
            if column in row and column not in columns.values():
                columns[role] = column
        if roles.keys() <= columns.keys():
            return Layout(layout, columns)
    return None


def row_problems(row: Row, layout: Layout) -> Iterator[str]:
    """What is wrong with one row, without its place."""
    for role, column in layout.columns.items():
        value = row.get(column)
        if role in OPTIONAL and (value is None or value == ""):
            continue
        if column not in row:
            yield f"no column {quoted(column)}{did_you_mean(column, row)}"
        elif role == "messages" or (layout.name == "prompt-completion" and isinstance(value, list)):
            yield from _message_problems(value, column, learned=role != "prompt")
        elif not isinstance(value, str):
            yield f"{quoted(column)} must be text"
        elif not value.strip():
            yield f"{quoted(column)} is empty"
        elif _has_half_surrogate(value):
            yield f"{quoted(column)} holds half a surrogate pair"
    prompt, completion = (row.get(layout.columns.get(r, "")) for r in ("prompt", "completion"))
    if isinstance(prompt, list) != isinstance(completion, list) and "prompt" in layout.columns:
        yield "prompt and completion must both be text, or both be lists of messages"


def _message_problems(value: object, column: str, *, learned: bool) -> Iterator[str]:
    if not isinstance(value, list) or not value:
        yield f"{quoted(column)} must be a list of messages, [{{role: …, content: …}}, …]"
        return
    roles = []
    for number, message in enumerate(value, 1):
        if not isinstance(message, dict):
            yield f"message {number} of {quoted(column)} must be {{role: …, content: …}}"
            return
        role = message.get("role", message.get("from"))
        if not isinstance(role, str) or role not in ROLES:
            guess = did_you_mean(str(role), ROLES)
            known = ", ".join(ROLES)
            yield f"message {number} has the role {quoted(str(role))}; known: {known}{guess}"
            return
        content = message.get("content", message.get("value"))
        if not isinstance(content, str):
            yield f"message {number} has no text in `content`"
            return
        if _has_half_surrogate(content):
            yield f"message {number} holds half a surrogate pair"
        roles.append(ROLES[role])
    if learned and "assistant" not in roles:
        yield f"{quoted(column)} has no message of the assistant: there is nothing to learn"


def _content(message: Mapping[str, object]) -> str:
    content = message.get("content", message.get("value"))
    return content if isinstance(content, str) else ""


def _has_half_surrogate(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def _asked(columns: Columns) -> dict[str, str]:
    return {role: str(name) for role, name in columns.model_dump(exclude_none=True).items()}
