from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.label import Label, parse_label

LABEL = Label("homeid", "runid123", 1, 1_800_000_000, 1_800_003_600)
base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
times = st.integers(0, 36**6 - 1)


@given(
    home=st.text(base36, min_size=6, max_size=6),
    run=st.text(base36, min_size=8, max_size=8),
    n=st.integers(0, 36**2 - 1),
    created_s=times,
    deadline_s=times,
)
def test_a_label_says_what_was_put_in(
    home: str, run: str, n: int, created_s: int, deadline_s: int
) -> None:
    label = Label(home, run, n, created_s, deadline_s)

    assert parse_label(str(label)) == label


@given(st.text())
def test_any_text_is_a_label_or_none(text: str) -> None:
    label = parse_label(text)

    assert label is None or str(label) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "my-training-pod",
        str(LABEL).upper(),
        str(LABEL) + "\n",
        str(LABEL) + "-1",
        "x" + str(LABEL),
        str(LABEL).replace("gl1-", "gl2-"),
    ],
)
def test_what_is_only_like_a_label_is_none_of_ours(text: str | None) -> None:
    assert parse_label(text) is None


def test_labels_of_one_run_sort_by_their_number() -> None:
    labels = [str(Label("homeid", "runid123", n, 1, 2)) for n in range(40)]

    assert labels == sorted(labels)
    assert {len(label) for label in labels} == {len(str(LABEL))}


def test_a_number_that_does_not_fit_is_refused_and_not_cut() -> None:
    with pytest.raises(ValueError, match="longer than 2"):
        str(Label("homeid", "runid123", 36**2, 1, 2))


def test_a_time_before_1970_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        str(Label("homeid", "runid123", 0, -1, 1))
