"""Where clients and simulated clouds depart from the published API descriptions on purpose.

The one list, with the evidence of each. What is not in it is held to the description, and what
has come to be described is an error here (`test_differences.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One place of one call."""

    provider: str
    call: str  # "PUT /asks/{id}", as the description writes it, or would
    place: str  # the field that is sent, or "instances/ports" of an answer; "" for all of it
    how: str
    evidence: str

    @property
    def answered(self) -> str:
        """The place in an answer as `oracle.py` names it."""
        return f"{self.call.partition(' ')[2]} {self.place}".rstrip()


# What the clients send, or ask for.
SENT = (
    Difference(
        "runpod",
        "GET /v2/pods",
        "limit",
        "is not described: so many rows of a page",
        "six public clients of v2 send it (2026-09 to 11); unknown parameters are ignored",
    ),
    *(
        Difference(
            "runpod",
            f"GET {path}",
            "cursor",
            "is not described: the page behind this mark, which `pagination` of an answer names",
            "six public clients of v2 read the one and send the other (2026-09 to 11)",
        )
        for path in ("/v2/pods", "/v2/billing/pods")
    ),
    Difference(
        "vast",
        "PUT /api/v0/asks/{id}",
        "env",
        "is described as text of docker flags; an object is sent",
        "the text was reported to fail; the official command line (1.9.1), its guide and dstack "
        "send an object",
    ),
    Difference(
        "vast",
        "PUT /api/v0/asks/{id}",
        "price",
        "is described as a number; null is sent for on-demand",
        "the command line (1.9.1) and its guide",
    ),
    Difference(
        "vast",
        "PUT /api/v0/asks/{id}",
        "client_id",
        "is not described; `me` is sent",
        "the command line (1.9.1) and dstack send it",
    ),
    Difference(
        "vast",
        "POST /api/v0/bundles",
        "type",
        "is described as `ondemand`; `on-demand` is sent",
        "the command line (1.9.1) and its guide; a doubt of its own",
    ),
    Difference(
        "vast",
        "POST /api/v0/bundles",
        "reliability2",
        "is not described",
        "the guide's example and the command line (1.9.1) filter by it; offers show it",
    ),
    Difference(
        "vast",
        "GET /api/v0/gpu_names/unique",
        "",
        "is not described",
        "the command line (1.9.1) asks it, without a key",
    ),
    *(
        Difference(
            "lambda",
            f"GET /api/v1/{path}",
            "page_token",
            "is not described: the page behind the mark that an answer names",
            "later descriptions of the API have it, as two public clients tell (2026-10); nothing "
            "is sent where no mark came",
        )
        for path in ("instances", "ssh-keys")
    ),
    Difference(
        "paperspace",
        "GET /billing/account-standing",
        "",
        "is not described",
        "pspace's types, generated from the API in 2024-04",
    ),
)

# What the simulated clouds answer in a field that is described otherwise, or not at all.
ANSWERED = (
    *(
        Difference(
            "runpod",
            call,
            place,
            "is described as 1 at least; a pod may be placed, or started, without any",
            "the documents' page on zero-GPU pods; runpod/runpod-python#168",
        )
        for call, place in (
            ("POST /v2/pods", "gpu/count"),
            ("GET /v2/pods", "pods/gpu/count"),
            ("GET /v2/pods/{id}", "gpu/count"),
            ("POST /v2/pods/{id}/action", "gpu/count"),
        )
    ),
    Difference(
        "vast",
        "GET /api/v0/instances/{id}",
        "instances",
        "is described as an object; that of one which is no more is null, under a 200",
        "the command line (1.9.1) reads it so; Max19970/easy-server#125",
    ),
    Difference(
        "vast",
        "GET /api/v0/instances/{id}",
        "instances/extra_env",
        "is described as a list of texts; pairs are answered",
        "the v1 list describes pairs, and the command line (1.9.1) reads pairs",
    ),
    Difference(
        "vast",
        "GET /api/v0/instances/{id}",
        "instances/ports",
        "is described as numbers; docker's own shape is answered",
        "the v1 list has that shape, which dstack reads in the single answer too",
    ),
    *(
        Difference(
            "vast",
            f"GET {path}",
            f"instances/{name}",
            "may be null",
            "seen for some hosts, and gpuhunt reads it so",
        )
        for path in ("/api/v0/instances/{id}", "/api/v1/instances")
        for name in ("cpu_cores", "geolocation")
    ),
    Difference(
        "vast",
        "PUT /api/v0/asks/{id}",
        "error",
        "three refusals are described; others are answered",
        "the documents' text has more; insufficient_credit and server_error were met (2026)",
    ),
    Difference(
        "vast",
        "POST /api/v0/ssh",
        "error",
        "one refusal is described; that of a key which is there has another word",
        "the word is made up: only its text, `already…`, was seen",
    ),
    *(
        Difference(
            "vast",
            call,
            "HTTP 403",
            "no 403 is described",
            "the documents: without a key it is a 403 auth_error; so a missing right is told here",
        )
        for call in (
            "GET /api/v1/instances",
            "GET /api/v0/instances/{id}",
            "DELETE /api/v0/instances/{id}",
            "GET /api/v0/users/current",
        )
    ),
    *(
        Difference(
            "vast",
            f"GET {path}",
            "HTTP 404",
            "no 404 is described; it is a bad key's auth_error",
            "seen live for a key that was deleted (jhammant/AIonDemandCluster#1)",
        )
        for path in ("/api/v1/instances", "/api/v0/users/current")
    ),
    Difference(
        "vast",
        "PUT /api/v0/asks/{id}",
        "HTTP 409",
        "no 409 is described; it is an offer that is gone",
        "Vast.ai's own QA tooling expects it beside 400, 404 and 410",
    ),
    Difference(
        "vast",
        "POST /api/v0/bundles",
        "HTTP 429",
        "no 429 is described; it is the day's quota of searches",
        "the command line (1.9.1) reads search_quota_exceeded and its reset",
    ),
    Difference(
        "vast",
        "GET /api/v0/instances/{id}",
        "HTTP 404",
        "no 404 is described; it is a bad key's, or that of an instance which is no more",
        "no_such_instance is answered to other calls about it; the documents' list of errors",
    ),
    *(
        Difference(
            "lambda",
            call,
            "HTTP 429",
            "no 429 is described; its limits are",
            "users met them (2023 to 2026), and read no body",
        )
        for call in (
            "GET /api/v1/instances",
            "GET /api/v1/instances/{id}",
            "GET /api/v1/instance-types",
            "GET /api/v1/images",
            "GET /api/v1/ssh-keys",
            "POST /api/v1/ssh-keys",
            "DELETE /api/v1/ssh-keys/{id}",
            "POST /api/v1/instance-operations/launch",
            "POST /api/v1/instance-operations/terminate",
        )
    ),
    *(
        Difference(
            "lambda",
            f"GET /api/v1/{path}",
            "page_token",
            "is not described: where the next page begins, or a null",
            "notes on a later description (2026-10)",
        )
        for path in ("instances", "ssh-keys")
    ),
    Difference(
        "lambda",
        "POST /api/v1/ssh-keys",
        "error/code",
        "one refusal is described; that of a taken name has the code of other taken names",
        "names are unique (users' notes); its code is told nowhere",
    ),
    *(
        Difference(
            "paperspace",
            f"GET /{path}",
            "nextPage",
            "is described as text; it may be null on the last page",
            "pspace's types, generated from the API in 2024-04",
        )
        for path in (
            "machines",
            "machine-events",
            "os-templates",
            "public-ips",
            "snapshots",
            "startup-scripts",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Undescribed:
    """What one fault or switch of a simulated cloud makes it answer, and no description has."""

    provider: str
    name: str  # of the fault, or of the switch
    how: str
    evidence: str


FAULTS = (
    Undescribed(
        "vast",
        "forbidden",
        "a 403 is described for some calls alone",
        "the documents: without a key it is a 403 auth_error; so a missing right is told here",
    ),
    Undescribed(
        "lambda",
        "conflict",
        "a 409 is described for a restart alone",
        "nobody saw it; no refusal may be taken for an end",
    ),
    Undescribed(
        "vast",
        "rate_limit",
        "a 429 is described for some calls alone",
        "the documents' text has limits for nearly every call",
    ),
    Undescribed(
        "lambda",
        "forbidden",
        "its code is described for reads alone",
        "nobody saw it; a launch and an end may be forbidden as well",
    ),
    Undescribed(
        "lambda",
        "gone",
        "no 410 is described",
        "nobody saw it here; RunPod and Vast.ai switch APIs off so",
    ),
    Undescribed(
        "vast",
        "gone",
        "a 410 is described for offers alone",
        "the retired list answers so (skypilot-org/skypilot#10517)",
    ),
    Undescribed(
        "vast",
        "tfa",
        "no 401 is described for a destroy or a search",
        "LibreYOLO/libreyolo#505: two-factor login was asked for by destroy and list",
    ),
    Undescribed(
        "vast",
        "conflict",
        "no 409 is described for a destroy",
        "nobody saw it; no refusal may be taken for an end",
    ),
    *(
        Undescribed(
            "vast",
            name,
            f"no {status} is described for a create",
            "nobody saw it; other clouds' descriptions have it, and nothing was rented",
        )
        for name, status in (("too_large", 413), ("unprocessable", 422))
    ),
    Undescribed(
        "lambda",
        "rate_limit",
        "no 429 is described",
        "its limits are, and users met them (2023 to 2026)",
    ),
    Undescribed("lambda", "5xx", "no 5xx is described", "every client met them"),
    Undescribed("lambda", "html_502", "no page is described", "the host is behind an edge"),
    Undescribed(
        "lambda",
        "upstream",
        "no call lists codes that begin with provider/",
        "the description's own text has them",
    ),
    Undescribed(
        "paperspace",
        "html_502",
        "no page is described",
        "every API behind a gateway has been met with one",
    ),
    Undescribed(
        "paperspace",
        "limit_has_body",
        "a 429 without JSON is not described",
        "peers met a 429 (SkyPilot waits ten seconds), and read no JSON in it",
    ),
    Undescribed(
        "paperspace",
        "standing",
        "the call is not described",
        "pspace's types, generated from the API in 2024-04",
    ),
)


def sent(provider: str, call: str) -> frozenset[str]:
    """Fields of one call that are sent otherwise than described."""
    return frozenset(
        one.place for one in SENT if (one.provider, one.call) == (provider, call) and one.place
    )


def sent_otherwise(provider: str) -> frozenset[str]:
    """Every place of every call that is sent otherwise than described, as `oracle.py` names it."""
    mine = (one for one in SENT if one.provider == provider)
    return frozenset(f"{one.call} {one.place}".rstrip() for one in mine)


def calls_not_described(provider: str) -> frozenset[str]:
    """Paths that a client asks and no description has."""
    whole = (one for one in SENT if one.provider == provider and not one.place)
    return frozenset(one.call.partition(" ")[2] for one in whole)


def answered(provider: str) -> frozenset[str]:
    """Places in answers that are otherwise than described."""
    return frozenset(one.answered for one in ANSWERED if one.provider == provider)


def faults(provider: str) -> list[Undescribed]:
    """What a simulated cloud answers when something goes wrong, beside the description."""
    return [one for one in FAULTS if one.provider == provider]
