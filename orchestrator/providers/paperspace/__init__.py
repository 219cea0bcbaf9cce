"""Paperspace machines: whole virtual machines over its v1 API, without a guard of their own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import (
    ApiGone,
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
    BootTrouble,
    Capabilities,
    GuardWay,
    Leftover,
    Leftovers,
    Machine,
    MachineRequest,
    Provider,
    ProviderSettings,
    Secret,
)
from orchestrator.providers.fields import fingerprint, joined_identity, to_object
from orchestrator.providers.http import CREATE_TIMEOUT_S, Answer, Http
from orchestrator.providers.pages import every_page
from orchestrator.providers.paperspace import mapping, offers, refusals
from orchestrator.providers.paperspace.catalog import Kind
from orchestrator.providers.paperspace.script import startup_script
from orchestrator.spec.resources import Need

URL = "https://api.paperspace.com/v1"
USER, PORT = "paperspace", 22
_PAGE_ROWS = "100"  # 120 at most
_LATE_S = 10.0  # between the wish for a machine and its create
_PATHS = {
    mapping.SCRIPT: "/startup-scripts",
    mapping.PUBLIC_IP: "/public-ips",
    mapping.SNAPSHOT: "/snapshots",
}


def build(settings: ProviderSettings) -> Provider:
    """Paperspace as the settings say.

    Raises: MissingCredentials without a key; UsageError for a URL that would leak it.
    """
    if settings.key is None:
        raise MissingCredentials("no key for Paperspace", hint="gpulease login paperspace")
    return Paperspace(
        settings.key,
        url=settings.urls.get("", URL),
        ssh_user=settings.ssh_user or USER,
        ssh_port=settings.ssh_port or PORT,
    )


class Paperspace(Provider, Account, BootTrouble, Leftovers):
    """One team on Paperspace, as one key sees it."""

    name = "paperspace"
    capabilities = Capabilities(
        guard=GuardWay.NONE,
        list_lag_s=60.0,  # not documented; a deleted machine was seen for 50 s
        settle_s=300.0,
        billing_increment_s=3600,  # not certain: the docs say hourly
        one_miss_is_noise=True,
        rate_limit_is_proof=False,
        boot_deadline_s=900.0,
        boot_s=(90.0, 600.0),
        poll_s=5.0,
        calls_per_minute=60,  # not documented
        has_charges=False,
        container_images=False,
        takes_host_key=True,
        cuda_patience_s=180.0,
        own_stop_s=7200.0,
    )

    def __init__(
        self,
        key: Secret,
        *,
        url: str = URL,
        ssh_user: str = USER,
        ssh_port: int = PORT,
        clock: Clock | None = None,
    ) -> None:
        """Connects to nothing yet."""
        self._http = Http(url, key, clock=clock)
        self._login = (ssh_user, ssh_port)
        self._clock = clock or SystemClock()
        self._fingerprint = fingerprint(key.get_secret_value())
        self._team = ""

    def list_offers(self, need: Need) -> list[Offer]:
        """What the price page and the templates allow; whether there is stock is but a hint."""
        self._read_team()
        self._check_standing()
        templates = offers.to_templates(self._rows("/os-templates"))
        known = [cell for cell in offers.cells(need) if cell[0].name in templates]
        asked = [cell for cell in known if offers.may_fit(*cell, need)]
        sold_out = self._sold_out(asked)
        made = [
            offers.to_offer(kind, region, templates[kind.name], need)
            for kind, region in known
            if (kind.name, region) not in sold_out
        ]
        return [offer for offer in made if offer is not None]

    def create_machine(self, request: MachineRequest) -> Machine:
        """Leaves a startup script with the run's key under the label, and creates once.

        Where there is no capacity the create works all the same, and the machine is `off`.
        """
        began_s = self._clock.elapsed_s()
        script_id = self._leave_script(request)
        if self._clock.elapsed_s() - began_s > _LATE_S:
            # This computer slept, or Paperspace was slow: nobody may want the machine any more.
            raise NotSent("a create took too long to prepare", retry_after_s=1.0)
        body = mapping.to_create_body(request, script_id)
        try:
            answer = self._http.send("POST", "/machines", body=body, timeout_s=CREATE_TIMEOUT_S)
        except ProviderDown as error:
            raise OutcomeUnknown(f"the answer to a create was lost: {error.problem}") from error
        if answer.status != 200:
            raise refusals.to_create_error(answer)
        row = to_object((answer.problem() or {}).get("data"))
        try:
            machine = self._machine(row)
        except ProviderDown as error:
            raise OutcomeUnknown("Paperspace answered a create without its machine") from error
        if machine is None or machine.label != request.label:
            raise OutcomeUnknown("Paperspace answered a create with something else")
        return machine

    def get_machine(self, machine_id: str) -> Machine:
        answer = self._http.send("GET", _path(machine_id))
        missing = MachineNotFound(f"Paperspace has no machine {machine_id} for this team")
        if refusals.says_no_such_object(answer):
            raise missing
        row = to_object(_good(answer).data())
        if row.get("id") != machine_id:
            raise ProviderDown("Paperspace answered with something else than the machine asked for")
        machine = self._machine(row)
        if machine is None:
            raise missing
        return machine

    def list_machines(self) -> list[Machine]:
        machines = [self._machine(row) for row in self._rows("/machines")]
        return list({found.id: found for found in machines if found is not None}.values())

    def delete_machine(self, machine_id: str) -> None:
        """Where a running machine is not deleted it is stopped, and has to be asked for again.

        What would outlive it goes first, as far as that can be had: nothing holds up the delete.
        """
        path = _path(machine_id)
        with suppress(ProviderError):
            self._release_ips(machine_id)
        answer = self._http.send("DELETE", path)
        if refusals.says_no_such_object(answer):
            return
        if refusals.says_not_now(answer):
            # Without a body and its type: an empty one of JSON is refused.
            self._http.send("PATCH", f"{path}/stop")
            raise ProviderDown(f"{machine_id} must be off before it is deleted: it is to stop")
        _good(answer)

    def identity(self) -> str:
        """`user:…,key:…` of the team; the key's fingerprint alone while that cannot be read."""
        if not self._team:
            with suppress(ProviderDown, RateLimited, ApiGone):
                self._read_team()
        return joined_identity(self._team, self._fingerprint)

    def balance_usd(self) -> None:
        """No call tells it: a card is charged later."""
        return

    def boot_trouble(self, machine_id: str) -> str:
        """What an event says that failed, such as a start for which there was no capacity."""
        return mapping.to_trouble(self._rows("/machine-events", machineId=_id(machine_id)))

    def list_leftovers(self) -> list[Leftover]:
        scripts = self._rows(_PATHS[mapping.SCRIPT])
        ips, snapshots = (
            self._rows(_PATHS[kind]) for kind in (mapping.PUBLIC_IP, mapping.SNAPSHOT)
        )
        living = frozenset(machine.id for machine in self.list_machines())
        return mapping.to_leftovers(scripts, ips, snapshots, living)

    def delete_leftover(self, leftover: Leftover) -> None:
        path = f"{_PATHS[leftover.kind]}/{quote(leftover.id, safe='')}"
        answer = self._http.send("DELETE", path)
        if not refusals.says_no_such_object(answer):
            _good(answer)

    def close(self) -> None:
        """Close idle connections; safe to repeat."""
        self._http.close()

    def _machine(self, row: Any) -> Machine | None:
        return mapping.to_machine(row, self._clock.now_s(), *self._login)

    def _read_team(self) -> None:
        """Raises: BadCredentials for the session that a bad key gets, which is none."""
        self._team = mapping.to_team(_good(self._http.send("GET", "/auth/session")).data())

    def _check_standing(self) -> None:
        """Raises: BadCredentials where the account may rent nothing. Not in every description."""
        answer = self._http.send("GET", "/billing/account-standing")
        if answer.status == 200 and (why := mapping.why_barred(answer.problem())):
            hint = "look into Paperspace's console, at billing"
            raise BadCredentials(f"nothing can be rented: {why}", hint=hint)

    def _sold_out(self, cells: list[tuple[Kind, str]]) -> set[tuple[str, str]]:
        """Types and regions of which none is free, as far as that is told."""
        found: set[tuple[str, str]] = set()
        for kind, region in cells:
            query = {"machineType": kind.name, "region": region}
            answer = self._http.send("GET", "/machine-availability", query=query)
            if answer.status in (404, 429):  # an older API, or too many questions: not known
                return found
            if to_object(_good(answer).data()).get("available") is False:
                found.add((kind.name, region))
        return found

    def _leave_script(self, request: MachineRequest) -> str:
        """Id of the machine's startup script: there is no call for SSH keys.

        An error may have left it all the same; then it is found by the label. Raises: NotSent.
        """
        keys = (request.public_key, request.host_private_key, request.host_public_key)
        try:
            text = startup_script(self._login[0], *keys)
        except ValueError as error:
            raise InvalidRequest(f"no startup script can be made: {error}") from error
        body = {"name": request.label, "script": text, "isRunOnce": True}
        try:
            answer = _good(self._http.send("POST", _PATHS[mapping.SCRIPT], body=body))
            script_id = to_object(answer.data()).get("id")
        except (ProviderDown, RateLimited) as error:
            problem = f"the startup script could not be left: {error.problem}"
            raise NotSent(problem, retry_after_s=10.0) from error
        if not mapping.is_id(script_id):
            raise NotSent("Paperspace gave the startup script no id", retry_after_s=10.0)
        return str(script_id)

    def _release_ips(self, machine_id: str) -> None:
        """Give back every static address of a machine, which would outlive it and bill."""
        path = _PATHS[mapping.PUBLIC_IP]
        for row in self._rows(path):
            if row.get("assignedMachineId") == machine_id:
                ip = f"{path}/{quote(str(row.get('ip')), safe='')}"
                self._http.send("PUT", ip, body={"machineId": None})
                self._http.send("DELETE", ip)

    def _rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Rows of every page, the oldest first, so that what is new moves no other."""
        what = path.strip("/")

        def ask(mark: str) -> tuple[list[dict[str, Any]], str]:
            asked = {**query, "limit": _PAGE_ROWS, "order": "asc"} | (
                {"after": mark} if mark else {}
            )
            return mapping.to_rows(_good(self._http.send("GET", path, query=asked)).data(), what)

        return every_page(ask, f"Paperspace's list of {what}")


def _good(answer: Answer) -> Answer:
    """The answer, where it is a success; every success is a 200. Raises what it says else."""
    if answer.status != 200:
        raise refusals.to_error(answer)
    return answer


def _id(machine_id: str) -> str:
    if not mapping.is_id(machine_id):
        raise InvalidRequest("that is not the id of a Paperspace machine")
    return machine_id


def _path(machine_id: str) -> str:
    return f"/machines/{_id(machine_id)}"
