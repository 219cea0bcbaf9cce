"""What nobody here has tried on Paperspace, the riskiest first."""

from __future__ import annotations

from orchestrator.providers.doubts import Doubt

DOUBTS = (
    Doubt(
        "still-sold",
        "may a new customer still rent machines with a GPU?",
        "session and standing are asked before an offer is shown, and each type's stock",
    ),
    Doubt(
        "list-after-create",
        "how soon does a list show what was just created?",
        "a create whose answer was lost is looked for by name for five minutes",
    ),
    Doubt(
        "billed-by-the-hour",
        "is a machine billed by the hour or by the second, and from when?",
        "an hour that has begun counts whole, from the create on",
    ),
    Doubt(
        "unit-of-rates",
        "are a machine's rates dollars an hour, and a month for its disk?",
        "a rate far below the price page's is not believed; a machine above its offer goes back",
    ),
    Doubt(
        "delete-while-running",
        "is a running machine deleted, or must it be off first?",
        "it is deleted; where that is refused it is stopped, and deleted once it is off",
    ),
    Doubt(
        "gone-by-id",
        "is a deleted machine unknown by its id, or shown with a date of deletion?",
        "both are gone by id; two full lists must agree",
    ),
    Doubt(
        "auto-shutdown",
        "does the provider's own stop count hours of a machine, or only idle ones?",
        "it is set an hour behind the deadline, and relied on by nobody",
    ),
    Doubt(
        "off-after-create",
        "how long may a machine that is to start be off before it never starts?",
        "after a minute it counts as one without capacity, goes back, and the next offer is tried",
    ),
    Doubt(
        "halt-turns-off",
        "is a machine off once it is halted from inside, and no longer billed?",
        "nobody counts on it; one that is off is deleted, and its hours count until then",
    ),
    Doubt(
        "host-key-by-script",
        "does the startup script run as root, and put in key and host key?",
        "no other host key is believed; a machine that never shows it goes back",
    ),
    Doubt(
        "template-by-label",
        "is there a template with a driver for each type, and of which CUDA?",
        "it is taken by its name; the machine's driver is asked before anything is sent",
    ),
    Doubt(
        "region-form",
        "are regions told as code or as label?",
        "the label is sent, and the code in an answer compared",
    ),
    Doubt(
        "script-names-machine",
        "does a startup script still name its machine once that is deleted?",
        "addresses are given back before the delete; later they are found by the script alone",
    ),
    Doubt(
        "limits-of-calls",
        "how many calls are allowed, and does a refusal say for how long to wait?",
        "an account is asked 60 times a minute; a refusal is followed by 10 s of rest",
    ),
)
