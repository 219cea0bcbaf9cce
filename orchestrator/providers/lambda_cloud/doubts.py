"""What nobody here has tried on Lambda Cloud, the riskiest first."""

from __future__ import annotations

from orchestrator.providers.doubts import Doubt

DOUBTS = (
    Doubt(
        "list-after-launch",
        "how soon does a list show what was just launched?",
        "a launch whose answer was lost is looked for by name and tag for ten minutes",
    ),
    Doubt(
        "limit-on-launch",
        "does a refusal for too many launches prove that nothing was launched?",
        "it proves nothing and is looked into; launches of a home are 14 s apart, in every process",
    ),
    Doubt(
        "terminate-again",
        "what does ending a machine twice answer?",
        "200 and 404 mean asked; only the id and a full list say that it is gone",
    ),
    Doubt(
        "gone-by-id",
        "is an ended machine still shown by its id, and for how long?",
        "terminated, preempted and unknown are all gone by id; two full lists must agree",
    ),
    Doubt(
        "billing-start",
        "does a machine cost from its launch, or once it is healthy, and one that never is?",
        "the cap counts from the launch, the estimate from the first that is seen to run",
    ),
    Doubt(
        "host-key-by-cloud-init",
        "does sshd show the host key that user data gave it?",
        "no other key is believed; a machine that never shows it goes back",
    ),
    Doubt(
        "same-key-twice",
        "may one public key be registered under two names?",
        "a key that is there is used under its own name, and never added again",
    ),
    Doubt(
        "taken-key-name",
        "by which code is a key refused whose name is taken?",
        "by none: after any refusal the keys are listed, and the same key is used as it is",
    ),
    Doubt(
        "halted-unhealthy",
        "does a machine that is halted from inside become unhealthy, or end?",
        "a halt ends nothing: one that is unhealthy for three minutes goes back",
    ),
    Doubt(
        "key-removed-after-launch",
        "does a machine keep a login whose key was removed from the account?",
        "a key is removed only when no machine of its run is open",
    ),
    Doubt(
        "page-token",
        "does a list of machines come in pages?",
        "no page size is sent; a page that is promised is asked for, and half a list is an error",
    ),
    Doubt(
        "limit-headers",
        "does a refusal for too many calls say how long to wait?",
        "only its status is read; 10 s are waited, 15 s after a launch",
    ),
    Doubt(
        "workspace-of-key",
        "which workspace does a key act in, and does any call say so?",
        "an account is its key's fingerprint: another key's silence is no proof",
    ),
    Doubt(
        "old-host-redirects",
        "does the older address answer with a redirect?",
        "the newer one is asked, and no redirect is ever followed",
    ),
)
