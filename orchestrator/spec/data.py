"""Is the data what the job needs? Every row is read once; nothing is kept but figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.spec.job import Data, FinetuneJob
from orchestrator.spec.nearest import did_you_mean, nearest, quoted
from orchestrator.spec.paths import shown
from orchestrator.spec.rows import BadRow, DataFile, Row

TEXT_COLUMNS = ("text", "sentence", "content", "prompt")
LABEL_COLUMNS = ("label", "category", "target", "class")

_MOST_PROBLEMS = 20
_MOST_LABELS = 1_000
_MOST_COMPARED_ROWS = 1_000_000
LARGE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One data file as it was read."""

    path: Path
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """How often one label occurs."""

    label: str
    train_rows: int
    eval_rows: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """What the data is, and all that is wrong with it."""

    train: FileFacts | None = None
    eval: FileFacts | None = None
    text_column: str = ""
    label_column: str = ""
    columns: tuple[str, ...] = ()
    labels: tuple[LabelFacts, ...] = ()  # most frequent in train first
    layout: str = ""  # of what a language model learns from: see spec/examples.py
    roles: Mapping[str, str] = field(default_factory=dict)  # of that layout: role → column
    is_chat: bool = False  # its rows are messages of somebody to somebody
    majority_share: float = 0.0  # of eval (else train) rows with train's most frequent label
    longest_text_chars: int = 0
    problems: list[str] = field(default_factory=list)  # each `file:line: …`, the first 20
    warnings: list[str] = field(default_factory=list)

    @property
    def train_rows(self) -> int:
        return self.train.rows if self.train else 0

    @property
    def eval_rows(self) -> int:
        return self.eval.rows if self.eval else 0

    @property
    def size_bytes(self) -> int:
        """What would be sent."""
        return sum(facts.size_bytes for facts in (self.train, self.eval) if facts)


def check_data(job: FinetuneJob, *, large_bytes: int = LARGE_BYTES) -> DataReport:
    """Read the job's data files once, whole; own code's files are only measured.

    Never raises for what is in a file: that is in `problems`.
    """
    if job.data is None:
        return DataReport()
    if job.task == "causal-lm":
        from orchestrator.spec.examples import check_examples

        return check_examples(job, large_bytes=large_bytes)
    check = _Check(job.folder, job.data, large_bytes)
    return check.measure() if job.is_own_code else check.parse()


def texts(path: Path, column: str) -> Iterator[str]:
    """The texts of a file that `check_data` found good, in order."""
    for _, row in DataFile(path).rows():
        if not isinstance(row, BadRow) and isinstance(text := row.get(column), str):
            yield text


@dataclass(slots=True)
class _Split:
    """What one pass over one file found."""

    file: DataFile
    rows: int = 0
    broken: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    first_line: dict[str, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    repeated: int = 0

    def facts(self) -> FileFacts:
        return FileFacts(self.file.path, self.rows, self.file.size_bytes, self.file.sha256)


class _Check:
    def __init__(self, folder: Path, data: Data, large_bytes: int) -> None:
        self._large_bytes = large_bytes
        self._folder = folder
        self._data = data
        self._problems: list[str] = []
        self._more = 0
        self._warnings: list[str] = []
        self._text = data.columns.text or ""
        self._label = data.columns.label or ""
        self._columns: tuple[str, ...] = ()
        self._longest = 0

    def measure(self) -> DataReport:
        splits = [self._pass(path, parse=False) for path in (self._data.train, self._data.eval)]
        return self._report(splits[0], splits[1])

    def parse(self) -> DataReport:
        train = self._pass(self._data.train)
        if train and len(train.labels) == 1 and not train.broken:
            self._problem(train, 0, f"every row has the label {quoted(next(iter(train.labels)))}")
        if self._data.eval == self._data.train:
            self._warn("eval is the same file as train: the metric will say nothing")
        evaluation = self._pass(self._data.eval, after=train)
        if evaluation is None and self._data.eval is None:
            self._warn("no data.eval: nothing will say how good the model is")
        if train and evaluation:
            self._compare(train, evaluation)
        return self._report(train, evaluation)

    def _pass(
        self, path: Path | None, *, parse: bool = True, after: _Split | None = None
    ) -> _Split | None:
        if path is None:
            return None
        split = _Split(DataFile(path))
        try:
            if parse:
                self._read(split, after)
            else:
                split.file.read_through()
        except OSError as error:
            self._problem(split, 0, f"cannot be read: {error.strerror or error}")
            return None
        if split.file.size_bytes > self._large_bytes:
            size_gib = split.file.size_bytes / 2**30
            self._warn(f"{self._name(split)} has {size_gib:.3g} GiB: sending it takes a while")
        if split.file.has_byte_order_mark:
            self._warn(f"{self._name(split)} starts with a byte order mark; it is skipped")
        return split

    def _read(self, split: _Split, after: _Split | None) -> None:
        for line, row in split.file.rows():
            if isinstance(row, BadRow):
                split.broken += 1
                self._problem(split, line, row.text)
                continue
            if split.rows == 0 and not self._recognise(split, line, row):
                split.file = DataFile(split.file.path)
                split.file.read_through()
                return
            split.rows += 1
            self._row(split, line, row, after)
        if split.rows == 0 and split.broken == 0:
            self._problem(split, 1, "no rows")

    def _recognise(self, split: _Split, line: int, row: Row) -> bool:
        """Settle which columns are meant, by the first row that can be read."""
        names = [name for name in row if isinstance(name, str)]
        self._columns = self._columns or tuple(names)
        self._text = self._text or _first_of(TEXT_COLUMNS, names)
        self._label = self._label or _first_of(LABEL_COLUMNS, names)
        known = {"text": TEXT_COLUMNS, "label": LABEL_COLUMNS}
        found = True
        for what, column in (("text", self._text), ("label", self._label)):
            if column in row:
                continue
            found = False
            among = ", ".join(quoted(name) for name in names[:12]) or "no columns"
            if column:
                text = f"no column {quoted(column)} among {among}{did_you_mean(column, names)}"
            else:
                free = [name for name in names if name not in (self._text, self._label)]
                guess = next(filter(None, (nearest(word, free) for word in known[what])), None)
                meant = f"if it is {quoted(guess)}" if guess else "if it has another name"
                text = f"no {what} column among {among}; {meant}, set data.columns.{what}"
            self._problem(split, line, text)
        return found

    def _row(self, split: _Split, line: int, row: Row, after: _Split | None) -> None:
        text = self._cell(split, line, row, self._text)
        label = self._cell(split, line, row, self._label)
        if isinstance(text, str):
            self._longest = max(self._longest, len(text))
        elif text is not None:
            self._problem(split, line, f"{quoted(self._text)} must be text")
        if isinstance(label, bool) or not isinstance(label, str | int | None):
            self._problem(split, line, f"{quoted(self._label)} must be text or a whole number")
        elif label is not None:
            self._count_label(split, line, str(label))
        if isinstance(text, str):
            self._count_repeated(split, hash(text), after)

    def _cell(self, split: _Split, line: int, row: Row, column: str) -> object:
        """The value, or None when a problem was noted."""
        if column not in row:
            guess = did_you_mean(column, row)
            self._problem(split, line, f"no column {quoted(column)}{guess}")
            return None
        value = row[column]
        if value is None or (isinstance(value, str) and not value.strip()):
            self._problem(split, line, f"{quoted(column)} is empty")
            return None
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            self._problem(split, line, f"{quoted(column)} holds half a surrogate pair")
            return None
        return value

    def _count_label(self, split: _Split, line: int, label: str) -> None:
        split.labels[label] += 1
        split.first_line.setdefault(label, line)
        if len(split.labels) == _MOST_LABELS + 1 and split.labels[label] == 1:
            text = f"more than {_MOST_LABELS} labels: is {quoted(self._label)} the right column?"
            self._problem(split, line, text)
        if len(split.labels) > _MOST_LABELS:
            del split.labels[label], split.first_line[label]

    def _count_repeated(self, split: _Split, digest: int, after: _Split | None) -> None:
        if after is not None:
            split.repeated += digest in after.seen
        elif len(split.seen) < _MOST_COMPARED_ROWS:
            split.seen.add(digest)

    def _compare(self, train: _Split, evaluation: _Split) -> None:
        if train.labels:
            for label, line in evaluation.first_line.items():
                if label not in train.labels:
                    guess = did_you_mean(label, train.labels)
                    self._problem(evaluation, line, f"label {quoted(label)} is not in train{guess}")
        unseen = [label for label in train.labels if label not in evaluation.labels]
        if unseen and evaluation.rows:
            words = ", ".join(quoted(label) for label in unseen[:5])
            more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
            self._warn(f"no row of eval has the label {words}{more}")
        if evaluation.repeated and self._data.eval != self._data.train:
            counts = f"{evaluation.repeated} of {evaluation.rows}"
            self._warn(f"{counts} texts of eval are also in train: the metric will flatter")

    def _report(self, train: _Split | None, evaluation: _Split | None) -> DataReport:
        counted = train.labels.most_common() if train else []
        other = evaluation.labels if evaluation else Counter[str]()
        judged = evaluation if evaluation and evaluation.rows else train
        majority = 0.0
        if judged and judged.rows and counted:
            majority = judged.labels[counted[0][0]] / judged.rows
        if self._more:
            self._problems.append(f"and {self._more} more")
        return DataReport(
            train=train.facts() if train else None,
            eval=evaluation.facts() if evaluation else None,
            text_column=self._text,
            label_column=self._label,
            columns=self._columns,
            labels=tuple(LabelFacts(label, n, other[label]) for label, n in counted),
            majority_share=majority,
            longest_text_chars=self._longest,
            problems=self._problems,
            warnings=self._warnings,
        )

    def _problem(self, split: _Split, line: int, text: str) -> None:
        if len(self._problems) >= _MOST_PROBLEMS:
            self._more += 1
            return
        self._problems.append(f"{self._name(split)}:{line or 1}: {text}")

    def _warn(self, text: str) -> None:
        self._warnings.append(text)

    def _name(self, split: _Split) -> str:
        return shown(split.file.path, self._folder)


def _first_of(known: tuple[str, ...], names: list[str]) -> str:
    by_folded = {name.casefold(): name for name in reversed(names)}
    return next((by_folded[word] for word in known if word in by_folded), "")
