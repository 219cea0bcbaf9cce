from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.losses import MOST, Losses, with_loss


def course(steps: int, every: int = 1) -> Losses:
    losses: Losses = ()
    for step in range(0, steps, every):
        losses = with_loss(losses, step, 1000 - step)
    return losses


def test_a_short_training_keeps_every_point() -> None:
    assert course(20) == tuple((float(step), 1000.0 - step) for step in range(20))


def test_a_long_one_keeps_its_first_its_newest_and_an_even_spread() -> None:
    losses = course(10_000)

    steps = [step for step, _ in losses]
    gaps = [after - before for before, after in itertools.pairwise(steps)]
    assert len(losses) == MOST
    assert (steps[0], steps[-1]) == (0.0, 9999.0)
    assert max(gaps) <= 10_000 / MOST * 4


def test_a_program_that_went_back_to_its_checkpoint_overwrites_what_came_after() -> None:
    losses = with_loss(course(10), 4.0, 0.5)

    assert losses == (*course(4), (4.0, 0.5))


finite = st.floats(-1e300, 1e300, allow_nan=False)


@given(st.lists(st.tuples(finite, finite), max_size=200))
def test_whatever_a_machine_says_the_course_is_short_and_rises(
    points: list[tuple[float, float]],
) -> None:
    losses: Losses = ()
    for step, loss in points:
        losses = with_loss(losses, step, loss)

    steps = [step for step, _ in losses]
    assert len(losses) <= MOST
    assert steps == sorted(set(steps))
