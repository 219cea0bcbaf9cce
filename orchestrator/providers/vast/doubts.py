"""What nobody here has tried on Vast.ai, the riskiest first."""

from __future__ import annotations

from orchestrator.providers.doubts import Doubt

DOUBTS = (
    Doubt(
        "self-destroy",
        "may a container destroy itself with its own key?",
        "it tries, then stops itself, for ever; plans say `plausible` until a drill has shown it",
    ),
    Doubt(
        "ports-in-single",
        "does the read of one instance show its ports?",
        "addresses come from the list; without a direct port for a minute the proxy is tried",
    ),
    Doubt(
        "stopped-while-loading",
        "does a fresh rental that still pulls its image show a stopped contract?",
        "it counts as failed only after three minutes, or with an error in its text",
    ),
    Doubt(
        "destroy-needs-2fa",
        "does an account with two-factor login refuse to destroy or to list by a key?",
        "a refusal is one of the key, tried again for ever and told; it never counts as gone",
    ),
    Doubt(
        "retry-after",
        "does a refusal for too many calls say how long to wait?",
        "header, body, or the threshold that it names, from 2 to 60 s; 12 s after a create",
    ),
    Doubt(
        "search-rows",
        "how many offers does a search give at most?",
        "searches are narrow and the cheapest come first; a list is never taken for the market",
    ),
    Doubt(
        "search-defaults",
        "what does a search leave out that does not say so?",
        "every filter with a default is sent, and every row is looked at again",
    ),
    Doubt(
        "search-type",
        "is it `on-demand` or `ondemand`?",
        "`on-demand` is sent, and a row that is a bid is no offer",
    ),
    Doubt(
        "bid-floor",
        "does a bid of what a search shows as the least win, and is it what is billed?",
        "a tenth more is bid; what costs more goes back, and what is stopped too",
    ),
    Doubt(
        "onstart-size",
        "how long may the start command be?",
        "ours stays under 4,000 bytes, and an instance without its guard goes back",
    ),
    Doubt(
        "host-key-in-log",
        "does the log show the host key that sshd uses?",
        "it is pinned where it is shown, once an sshd runs; else the first key seen is",
    ),
    Doubt(
        "key-by-onstart",
        "does a key reach an instance by the API, by the start command, or only by the account?",
        "the first two are done, offers need a direct port, and the proxy comes last",
    ),
    Doubt(
        "pull-traffic",
        "is the pull of an image charged as traffic?",
        "it is reserved for and counts to the upper figure, at the image's unpacked size",
    ),
    Doubt(
        "rate-while-stopped",
        "does a stopped instance show a lower rate?",
        "its whole rate counts until it is proven gone",
    ),
    Doubt(
        "exited-bills",
        "does an instance that shows `exited` or `unknown` bill its GPU?",
        "one that exited goes back, an unknown one after five minutes; both count at the full rate",
    ),
    Doubt(
        "right-missing",
        "what does a key hear that lacks the right for a call?",
        "401, 403 and their texts are the key's fault: told, never retried as is, and never gone",
    ),
    Doubt(
        "balance-field",
        "is what is left on an account called credit or balance?",
        "credit, else balance; without either it is unknown, never zero",
    ),
    Doubt(
        "cancel-unavailable",
        "does a create that cannot start leave a stopped instance?",
        "it is asked not to; an error that names a contract has it destroyed",
    ),
)
