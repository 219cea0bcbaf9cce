"""Lambda Cloud: whole virtual machines over its REST API, without a guard of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import (
    BadCredentials,
    InvalidRequest,
    MachineNotFound,
    MissingCredentials,
    NotSent,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
    RateLimited,
)
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    BillingStart,
    Capabilities,
    GuardWay,
    Leftover,
    Leftovers,
    Machine,
    MachineRequest,
    MachineStatus,
    Provider,
    ProviderSettings,
    Secret,
)
from orchestrator.providers.fields import fingerprint, joined_identity, to_object
from orchestrator.providers.http import Answer, Http
from orchestrator.providers.lambda_cloud import mapping, offers, refusals
from orchestrator.providers.pace import Pace
from orchestrator.providers.pages import every_page
from orchestrator.spec.resources import Need

URL = "https://cloud.lambda.ai/api/v1"
USER, PORT = "ubuntu", 22
_READ_S = 30.0
_LAUNCH_S = 120.0  # answers can take well over 30 s
_CALL_INTERVAL_S = 1.0  # of an account, whatever is called
_LAUNCH_INTERVAL_S = 14.0  # documented: 12; a turn of any call may still come after it
_LATE_S = 10.0  # between the wish for a machine and its launch, beside waits for our turn


def build(settings: ProviderSettings) -> Provider:
    """Lambda as the settings say; its pace is shared by every process of the home.

    Raises: MissingCredentials without a key; UsageError for a URL that would leak it.
    """
    if settings.key is None:
        raise MissingCredentials("no key for Lambda", hint="gpulease login lambda")
    return Lambda(
        settings.key,
        url=settings.urls.get("", URL),
        ssh_user=settings.ssh_user or USER,
        ssh_port=settings.ssh_port or PORT,
        paces=settings.home / "pace",
    )


class Lambda(Provider, Account, Leftovers):
    """One account of Lambda, as one key sees it."""

    name = "lambda"
    capabilities = Capabilities(
        guard=GuardWay.NONE,
        list_lag_s=30.0,  # not documented
        settle_s=600.0,
        billing_increment_s=60,
        billing_starts=BillingStart.RUNNING,
        one_miss_is_noise=True,
        rate_limit_is_proof=False,
        boot_deadline_s=1200.0,
        boot_s=(150.0, 900.0),
        out_of_touch_s=180.0,  # a fresh one that is unhealthy seldom heals, and may be billed
        poll_s=5.0,
        min_create_interval_s=_LAUNCH_INTERVAL_S,
        has_charges=False,
        container_images=False,
        takes_host_key=True,
        cuda_patience_s=180.0,
    )

    def __init__(
        self,
        key: Secret,
        *,
        url: str = URL,
        ssh_user: str = USER,
        ssh_port: int = PORT,
        paces: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connects to nothing yet. `paces`: a folder that all who use this account share."""
        self._http = Http(url, key, clock=clock)
        self._login = (ssh_user, ssh_port)
        self._clock = clock or SystemClock()
        self._fingerprint = fingerprint(key.get_secret_value())
        calls, launches = (
            paces / f"lambda-{self._fingerprint}-{what}" if paces else None
            for what in ("calls", "launches")
        )
        self._calls = Pace(calls, _CALL_INTERVAL_S, self._clock)
        self._launches = Pace(launches, _LAUNCH_INTERVAL_S, self._clock)

    def list_offers(self, need: Need) -> list[Offer]:
        types = self._good(self._send("GET", "/instance-types")).data()
        images = self._good(self._send("GET", "/images")).data()
        return offers.to_offers(types, images, need)

    def create_machine(self, request: MachineRequest) -> Machine:
        """Registers the run's key, waits for its turn, and launches once.

        The answer names nothing but an id: what was rented, the list tells.
        """
        began_s = self._clock.elapsed_s()
        key_name, waited_s = self._register(request)
        waited_s += self._launches.take_turn() + self._calls.take_turn()
        if self._clock.elapsed_s() - began_s - waited_s > _LATE_S:
            # This computer slept, or Lambda was slow: whoever wanted the machine may not any more.
            raise NotSent("a launch took too long to prepare", retry_after_s=1.0)
        body = mapping.to_launch_body(request, key_name)
        path = "/instance-operations/launch"
        try:
            answer = self._http.send("POST", path, body=body, timeout_s=_LAUNCH_S)
        except ProviderDown as error:
            raise OutcomeUnknown(f"the answer to a launch was lost: {error.problem}") from error
        if answer.status != 200:
            raise refusals.to_launch_error(answer)
        machine_id = mapping.to_launched_id(answer.problem())
        if not machine_id:
            raise OutcomeUnknown("Lambda answered a launch with something else than one id")
        offer = request.offer
        return Machine(
            id=machine_id,
            label=request.label,
            status=MachineStatus.BOOTING,
            gpu=offer.gpu,
            gpu_count=offer.gpu_count,
            usd_per_hour=offer.price.usd_per_hour,
            created_at_s=self._clock.now_s(),
            region=offer.region,
        )

    def get_machine(self, machine_id: str) -> Machine:
        answer = self._send("GET", f"/instances/{_id(machine_id)}")
        missing = MachineNotFound(f"Lambda has no instance {machine_id} for this account")
        if refusals.says_no_such_object(answer):
            raise missing
        row = to_object(self._good(answer).data()).get("data")
        if to_object(row).get("id") != machine_id:
            raise ProviderDown("Lambda answered with something else than the instance asked for")
        machine = mapping.to_machine(row, *self._login)
        if machine is None:
            raise missing
        return machine

    def list_machines(self) -> list[Machine]:
        machines = [mapping.to_machine(row, *self._login) for row in self._rows("/instances")]
        return list({found.id: found for found in machines if found is not None}.values())

    def delete_machine(self, machine_id: str) -> None:
        """One id per call: whether an unknown one fails the whole batch is not certain."""
        body = {"instance_ids": [_id(machine_id)]}
        answer = self._send("POST", "/instance-operations/terminate", body)
        if refusals.says_no_such_object(answer):
            return
        if not mapping.is_terminating(self._good(answer).data(), machine_id):
            raise ProviderDown(f"Lambda did not say that {machine_id} is to end")

    def identity(self) -> str:
        """The key's fingerprint: nothing says whose account, or which workspace, a key is of."""
        return joined_identity("", self._fingerprint)

    def balance_usd(self) -> None:
        """No call tells it."""
        return

    def list_leftovers(self) -> list[Leftover]:
        rows = self._rows("/ssh-keys")
        return [found for row in rows if (found := mapping.to_leftover(row)) is not None]

    def delete_leftover(self, leftover: Leftover) -> None:
        answer = self._send("DELETE", f"/ssh-keys/{quote(leftover.id, safe='')}")
        if not refusals.says_no_such_key(answer):
            self._good(answer)

    def close(self) -> None:
        """Close idle connections; safe to repeat."""
        self._http.close()

    def _register(self, request: MachineRequest) -> tuple[str, float]:
        """Name of the run's public key on the account, and how long we waited for our turns.

        One key under two names may be refused, so that one which is there is used as it is; an
        error may have added it all the same. Raises: NotSent while it cannot be told.
        """
        wanted = mapping.to_key_blob(request.public_key)
        waited_s = 0.0
        trouble: ProviderError | None = None
        try:
            for adds in (True, False):
                waited_s += self._calls.take_turn()
                rows = self._rows("/ssh-keys", is_our_turn=True)
                same = (row for row in rows if mapping.to_key_blob(row.get("public_key")) == wanted)
                name = next(same, {}).get("name")
                if isinstance(name, str):
                    return name, waited_s
                if not adds:
                    break
                # Without `public_key` Lambda would make a pair of its own.
                body = {"name": request.label, "public_key": request.public_key}
                waited_s += self._calls.take_turn()
                try:
                    answer = self._http.send("POST", "/ssh-keys", body=body, timeout_s=_READ_S)
                    if answer.status == 200:
                        return request.label, waited_s
                    trouble = refusals.to_error(answer)
                except ProviderDown as error:
                    trouble = error
                if isinstance(trouble, BadCredentials):
                    raise trouble
        except (ProviderDown, RateLimited) as error:
            trouble = error
        why = trouble.problem if trouble else "it is not listed"
        if isinstance(trouble, InvalidRequest):
            raise trouble
        raise NotSent(f"the run's SSH key could not be registered: {why}", retry_after_s=10.0)

    def _send(self, method: str, path: str, body: object = None) -> Answer:
        self._calls.take_turn()
        return self._http.send(method, path, body=body, timeout_s=_READ_S)

    def _rows(self, path: str, *, is_our_turn: bool = False) -> list[dict[str, Any]]:
        """Rows of every page, or an error: never a half list.

        No page size is sent, so that all come at once; yet a page that is promised is asked for.
        """

        def ask(token: str) -> tuple[list[dict[str, Any]], str]:
            if not is_our_turn or token:
                self._calls.take_turn()
            query = {"page_token": token} if token else None
            answer = self._http.send("GET", path, query=query, timeout_s=_READ_S)
            return mapping.to_rows(self._good(answer).data(), path.strip("/"))

        return every_page(ask, f"Lambda's list of {path.strip('/')}")

    @staticmethod
    def _good(answer: Answer) -> Answer:
        """The answer, where it is a success; every success is a 200. Raises what it says else."""
        if answer.status != 200:
            raise refusals.to_error(answer)
        return answer


def _id(machine_id: str) -> str:
    if not mapping.is_id(machine_id):
        raise InvalidRequest("that is not the id of a Lambda instance")
    return machine_id
