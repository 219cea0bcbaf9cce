"""The quickstart's data is honest: what is judged was never shown, and no word gives it away."""

from __future__ import annotations

import json
import math
import re
import runpy
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec.data import check_data
from orchestrator.spec.load import load_job
from orchestrator.spec.packaged import packaged

QUICKSTART = packaged("jobs") / "quickstart"
MAJORITY = 0.35


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(QUICKSTART / "make_data.py"))


def rows(split: str, folder: Path = QUICKSTART / "data") -> list[dict[str, str]]:
    lines = (folder / f"tickets.{split}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z'-]+", text.lower()))


def sentences(split: Any) -> Iterator[str]:
    for group in (split.core, split.asides):
        for texts in group.values():
            yield from texts
    yield from filter(None, (*split.openers, *split.closers))


def test_the_job_is_valid_and_its_data_is_found_good() -> None:
    report = check_data(load_job(QUICKSTART / "job.yaml"))

    assert report.problems == [] and report.warnings == []
    assert (report.train_rows, report.eval_rows) == (480, 120)
    assert report.majority_share == pytest.approx(MAJORITY)


def test_the_files_are_what_the_script_writes(generator: dict[str, Any], tmp_path: Path) -> None:
    generator["write"](tmp_path)
    for split in ("train", "eval"):
        assert rows(split, tmp_path) == rows(split)


def test_train_and_eval_share_no_sentence_and_no_noun(generator: dict[str, Any]) -> None:
    train, evaluation = generator["TRAIN"], generator["EVAL"]

    assert not set(sentences(train)) & set(sentences(evaluation))
    for slot, choices in train.words.items():
        assert not set(choices) & set(evaluation.words[slot])
    assert not {row["text"] for row in rows("train")} & {row["text"] for row in rows("eval")}


def test_no_row_is_there_twice() -> None:
    texts = [row["text"] for row in rows("train") + rows("eval")]
    assert len(texts) == len(set(texts))


def test_classes_are_uneven_in_the_same_way() -> None:
    for split in ("train", "eval"):
        counted = Counter(row["label"] for row in rows(split))
        assert counted["billing"] / counted.total() == pytest.approx(MAJORITY)
        assert counted["cancel"] / counted.total() == pytest.approx(0.10)


def test_counting_words_does_not_solve_it() -> None:
    """Naive Bayes knows the training rows by heart and fails on the eval rows."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    labels: Counter[str] = Counter()
    for row in rows("train"):
        seen[row["label"]].update(words(row["text"]))
        labels[row["label"]] += 1
    known = set().union(*seen.values())

    def score(text: str, label: str) -> float:
        found = words(text) & known
        of_label = sum(math.log((seen[label][w] + 1) / (labels[label] + 2)) for w in found)
        return of_label + math.log(labels[label])

    def answer(text: str) -> str:
        return max(labels, key=lambda label: score(text, label))

    def accuracy(split: str) -> float:
        judged = rows(split)
        return sum(answer(row["text"]) == row["label"] for row in judged) / len(judged)

    assert accuracy("train") > 0.95
    assert accuracy("eval") < MAJORITY + 0.15
