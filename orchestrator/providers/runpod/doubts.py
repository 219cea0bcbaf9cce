"""What nobody here has tried on RunPod, the riskiest first."""

from __future__ import annotations

from orchestrator.providers.doubts import Doubt

DOUBTS = (
    Doubt(
        "self-terminate",
        "may a pod terminate itself over REST v2 with its own key?",
        "five ways are tried for ever; plans say `plausible` until a drill has shown one",
    ),
    Doubt(
        "graphql-lives",
        "is GraphQL still there to name the user and the balance?",
        "neither is needed: the key's fingerprint names the account, and nothing watches a balance",
    ),
    Doubt(
        "pagination",
        "does every list say whether there is a further page?",
        "a list without that word is one page; a promised page without a cursor is an error",
    ),
    Doubt(
        "quota",
        "how many calls a minute may an account make?",
        "60, shared by all runs, and less where a header says so",
    ),
    Doubt(
        "billing-start",
        "does the bill begin with the placement or with the container?",
        "it counts from the create call",
    ),
    Doubt(
        "billing-lag",
        "how late are billing records, and do they name a pod that is gone?",
        "an hour; they bound what nobody watched, and never end a watch",
    ),
    Doubt(
        "start-ssh",
        "is `startSsh` needed beside a public key?",
        "both are sent",
    ),
    Doubt(
        "community-address",
        "do pods of community hosts always get an address?",
        "one that runs for minutes without an address goes back",
    ),
    Doubt(
        "error-bills",
        "does a pod in ERROR bill, and does it ever leave that state?",
        "it goes back at once, and counts at its rate until it is proven gone",
    ),
    Doubt(
        "capacity-words",
        "is a lack of capacity still told in the words that were seen, or by a code?",
        "other words go to the next offer too; a run ends once all offers say the same",
    ),
    Doubt(
        "funds-refusal",
        "is too little money refused with 402, or with 400?",
        "402, and what speaks of balance, credit or funds, ends the tries on RunPod",
    ),
    Doubt(
        "urllib-agent",
        "does the edge refuse Python's own agent?",
        "every call has an agent of its own, a machine's guard's too",
    ),
)
