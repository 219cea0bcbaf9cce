"""Object stores as this process may reach them: credentials of memory first, then AWS's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from orchestrator.artifacts.bucket import Bucket
from orchestrator.artifacts.s3 import CREDENTIAL_NAMES, S3, Access, open_s3
from orchestrator.runs.label import parse_label
from orchestrator.runs.lease import Lease
from orchestrator.runs.run import Launch, Run
from orchestrator.spec.place import parse_place

_KEY = CREDENTIAL_NAMES[0]
_Opened = tuple[str, str, str, tuple[tuple[str, str], ...]]


class Stores:
    """Opens each store once for each set of credentials."""

    def __init__(
        self,
        key: Callable[[str], str | None],
        environment: Mapping[str, str],
        now_s: Callable[[], float],
    ) -> None:
        """`key` gives the value of a named credential; `environment` names endpoint and profile."""
        self._key = key
        self._environment = environment
        self._now_s = now_s
        self._open: dict[_Opened, S3] = {}
        self._lock = threading.Lock()

    def settled(self, region: str = "") -> Access:
        """How a job that is submitted now reaches its store; without credentials."""
        asked = self._environment.get
        return Access(
            endpoint=asked("AWS_ENDPOINT_URL_S3") or asked("AWS_ENDPOINT_URL") or "",
            region=region or asked("AWS_REGION") or asked("AWS_DEFAULT_REGION") or "",
            profile=asked("AWS_PROFILE") or "",
        )

    def open(self, access: Access) -> S3:
        """Raises: BucketRefused."""
        found = {name: value for name in CREDENTIAL_NAMES if (value := self._key(name))}
        given = found if _KEY in found else {}
        opened = (access.endpoint, access.region, access.profile, tuple(sorted(given.items())))
        with self._lock:
            if opened not in self._open:
                with_keys = Access(access.endpoint, access.region, access.profile, given)
                self._open[opened] = open_s3(with_keys, now_s=self._now_s)
            return self._open[opened]

    def open_for(self, launch: Launch) -> S3:
        """The store of a run. Raises: BucketRefused."""
        return self.open(
            Access(launch.bucket_endpoint, launch.bucket_region, launch.bucket_profile)
        )

    def bucket(self, run: Run, lease: Lease) -> Bucket | None:
        """The folder of one machine of a run; None where its results come home."""
        if not run.launch.bucket:
            return None
        label = parse_label(lease.label)
        assert label is not None, "we wrote it"
        folder = parse_place(run.bucket_folder).below(f"{label.n:02d}")
        return Bucket(self.open_for(run.launch), folder)
