"""What is refused before anything is rented, and what a plan says of its results."""

from __future__ import annotations

import shutil

from orchestrator.artifacts.s3 import CREDENTIAL_NAMES
from orchestrator.budget.caps import RETURN_S
from orchestrator.errors import MissingCredentials, UsageError
from orchestrator.lifecycle import uploads
from orchestrator.lifecycle.material import HUB_TOKEN
from orchestrator.lifecycle.plan import Plan
from orchestrator.settings import PROVIDER_KEYS
from orchestrator.wiring import Parts

_SPARE_BYTES = 1 << 30


def check_bucket(parts: Parts, plan: Plan) -> None:
    """Refuse a bucket without rights. Raises: BucketRefused, BucketDown."""
    if plan.material.launch.bucket:
        store = parts.stores.open_for(plan.material.launch)
        uploads.check_bucket(plan, store, parts.clock.now_s())


def check_secrets(parts: Parts, plan: Plan) -> None:
    """Refuse a job whose secrets have no value. Raises: MissingCredentials."""
    for name in plan.material.launch.secrets:
        if parts.keys.get(name) is None:
            raise MissingCredentials(
                f"the job needs the secret {name}, and there is no value for it",
                hint=f"gpulease login {_login(name)}, or set it in the environment",
            )


def artifact_sentences(parts: Parts, plan: Plan) -> list[str]:
    """Where results go and whether they fit. Raises: UsageError when they cannot.

    What one's own code will give back nobody can size: it is not compared.
    """
    folder = parts.home.folder / "runs"
    is_sized = plan.material.footprint is not None
    free_bytes = shutil.disk_usage(parts.home.folder).free
    expected_bytes = plan.material.launch.result_bytes
    if bucket := plan.material.launch.bucket:
        every = plan.material.job.checkpoints.every_s / 60
        return [
            f"{bucket}: everything (about {expected_bytes / 2**20:.0f} MiB expected); "
            "gpulease pull brings it home",
            f"the log goes there as it comes, the newest checkpoint every {every:.0f} min",
            f"up to {RETURN_S:.0f} s are kept for the proof of return",
        ]
    if is_sized and expected_bytes + _SPARE_BYTES > free_bytes:
        raise UsageError(
            f"about {expected_bytes / 2**30:.1f} GiB of results do not fit at home: "
            f"{free_bytes / 2**30:.1f} GiB are free in {folder}",
            hint="make room, or set GPULEASE_HOME to a larger disk",
        )
    minutes = plan.material.job.checkpoints.every_s / 60
    expected = f"about {expected_bytes / 2**20:.0f} MiB" if is_sized else "an unknown size"
    return [
        f"home: {folder} ({expected} expected, {free_bytes / 2**30:.0f} GiB free)",
        f"the newest complete checkpoint comes home every {minutes:.0f} min",
        f"up to {RETURN_S:.0f} s are kept for the proof of return",
    ]


def check_kept(parts: Parts, plan: Plan) -> None:
    """Refuse to detach with a key that dies with this terminal. Raises: MissingCredentials."""
    asked = plan.order.providers if plan.order is not None else ()
    offered = (candidate.offer.provider for candidate in plan.candidates)
    providers = dict.fromkeys((*offered, *asked))
    keys = [PROVIDER_KEYS[name] for name in providers if name in PROVIDER_KEYS]
    stored = CREDENTIAL_NAMES if plan.material.launch.bucket else ()
    for name in (*keys, *plan.material.launch.secrets, *stored):
        found = parts.settings.credential(name)
        if found is not None and found.source == "environment":
            raise MissingCredentials(
                f"{name} is only in this terminal's environment: a driver that is started "
                "again would not have it",
                hint=f"gpulease login {_login(name)}, or --ephemeral-keys",
            )


def _login(name: str) -> str:
    """What `gpulease login` calls the credential of a name."""
    called = {key: provider for provider, key in PROVIDER_KEYS.items()}
    return {**called, HUB_TOKEN: "huggingface"}.get(name, name)
