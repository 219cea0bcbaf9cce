"""The course of a training's loss, few points for however many steps. Pure."""

from __future__ import annotations

Losses = tuple[tuple[float, float], ...]  # (step, loss), by rising step

MOST = 60


def with_loss(losses: Losses, step: float, loss: float) -> Losses:
    """The course with one more point.

    A step that is not ahead of the last one means that the program went back to a checkpoint:
    what was after it is forgotten. At most MOST points stay, about evenly spaced: the one with
    the closest neighbours goes, never the first or the newest.

    >>> with_loss(((1.0, 2.5), (2.0, 2.25)), 2.0, 2.0)
    ((1.0, 2.5), (2.0, 2.0))
    """
    kept = [point for point in losses if point[0] < step]
    kept.append((float(step), float(f"{loss:.5g}")))
    if len(kept) > MOST:
        inner = range(1, len(kept) - 1)
        del kept[min(inner, key=lambda n: kept[n + 1][0] - kept[n - 1][0])]
    return tuple(kept)
