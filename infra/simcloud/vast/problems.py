"""Vast's refusals: a body with `error` and `msg`, under a status that says little."""

from __future__ import annotations

from infra.simcloud.web import Json, Reply, json_reply


class Problem(Exception):
    """A refusal: what was asked was not done."""

    def __init__(self, status: int, error: str, msg: str, **more: Json) -> None:
        super().__init__(msg)
        self.status = status
        self.body: dict[str, Json] = {"success": False, "error": error, "msg": msg, **more}

    def reply(self) -> Reply:
        """On the wire."""
        return json_reply(self.body, self.status)


def no_such_ask(ask_id: int, shape: str = "400") -> Problem:
    """An offer that is gone, in one of the shapes that were documented or seen.

    Documented is 404; seen is 400 with two spaces (2026-02 to 09), and 200 and 409 as well.
    """
    if shape == "410":
        msg = f"error 410/3907: no_such_ask Instance type {ask_id} is no longer available."
        return Problem(410, "no_such_ask", msg)
    gap = " " if shape == "404" else "  "
    msg = f"error 404/3603: no_such_ask{gap}Instance type by id {ask_id} is not available."
    return Problem(int(shape), "invalid_args", msg, ask_id=ask_id)


def no_such_instance(instance_id: str) -> Problem:
    """One that never was, is no more, or is somebody else's."""
    return Problem(404, "no_such_instance", f"error 404/3902: Instance {instance_id} not found.")


def auth_error(status: int, msg: str) -> Problem:
    """A key that is missing, wrong, or may not."""
    return Problem(status, "auth_error", msg)


def invalid_args(msg: str, **more: Json) -> Problem:
    """A body that cannot be carried out."""
    return Problem(400, "invalid_args", f"error 400/3467: Invalid args: {msg}", **more)


def invalid_query(msg: str) -> Problem:
    """A search or list that cannot be read."""
    problem = Problem(400, "invalid_request", msg)
    del problem.body["success"]  # these come without it
    return problem
