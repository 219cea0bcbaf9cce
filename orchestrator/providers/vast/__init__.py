"""Vast.ai: instances on strangers' machines, found in a market, over its REST API."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from threading import Event
from typing import Any

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import (
    InvalidRequest,
    MachineNotFound,
    MissingCredentials,
    OutcomeUnknown,
    ProviderDown,
    ProviderError,
)
from orchestrator.offers.offer import Offer
from orchestrator.providers.base import (
    Account,
    BillingStart,
    BootLog,
    BootTrouble,
    Capabilities,
    Charge,
    Charges,
    GuardWay,
    Machine,
    MachineRequest,
    MachineStatus,
    Provider,
    ProviderSettings,
    Secret,
)
from orchestrator.providers.fields import (
    fingerprint,
    joined_identity,
    to_integer,
    to_known_dollars,
    to_object,
    with_empty_rows,
)
from orchestrator.providers.http import CREATE_TIMEOUT_S, Answer, Http, fetch_public
from orchestrator.providers.vast import instances, offers, refusals
from orchestrator.providers.vast.requests import to_create_body
from orchestrator.spec.resources import Need

URL = "https://console.vast.ai"
_PAGE_ROWS = 25  # the most that the list gives
_MOST_PAGES = 100
_CHARGE_ROWS = 100
_BETWEEN_PAGES_S = 1.0  # least seconds between two lists
_ACCOUNT_REST_S = 60.0
_LOG_LINES = 1000
_LOG_TRIES = 10
_LOG_AGAIN_S = 0.3


def build(settings: ProviderSettings) -> Provider:
    """Vast.ai as the settings say.

    Raises: MissingCredentials without a key; UsageError for a URL that would leak it.
    """
    if settings.key is None:
        raise MissingCredentials("no key for Vast.ai", hint="gpulease login vast")
    url = settings.urls.get("", URL)
    return Vast(settings.key, url=url, ssh_user=settings.ssh_user or "root")


class Vast(Provider, Account, BootLog, BootTrouble, Charges):
    """One account of Vast.ai, as one key sees it."""

    name = "vast"
    capabilities = Capabilities(
        guard=GuardWay.START_COMMAND,
        list_lag_s=30.0,
        settle_s=120.0,
        billing_increment_s=1,
        billing_starts=BillingStart.RUNNING,
        billing_lag_s=86_400.0,
        one_miss_is_noise=True,
        rate_limit_is_proof=True,
        has_boot_log=True,
        tells_balance=True,
        cuda_patience_s=0.0,  # another host is cheaper than to wait for this one
        balance_spare=1.2,  # without credit instances are stopped at once, and then deleted
        boot_deadline_s=480.0,  # where the host's line is not known; else by its image
        poll_s=10.0,
        min_create_interval_s=4.5,
        spot=True,
        # Documented as of 2026-08, and not promised.
        intervals_s={
            "list_offers": 6.0,
            "get_machine": 2.0,
            "list_machines": 1.0,
            "delete_machine": 3.0,
            "charges": 1.0,
        },
    )

    def __init__(
        self, key: Secret, *, url: str = URL, ssh_user: str = "root", clock: Clock | None = None
    ) -> None:
        """Connects to nothing yet."""
        self._http = Http(url, key, clock=clock)
        self._ssh_user = ssh_user
        self._clock = clock or SystemClock()
        self._fingerprint = fingerprint(key.get_secret_value())
        self._user = ""
        self._account_rests_until_s = 0.0
        self._gpu_words: dict[tuple[str, ...], tuple[str, ...]] = {}

    def list_offers(self, need: Need) -> list[Offer]:
        """The cheapest first; where none is trusted enough, less trusted ones.

        Those to bid for come from a search of their own, and only where they are wanted.
        """
        words = self._words_of(need.gpu_names)
        found = self._search(need, offers.to_queries(need, words))
        if need.spot:
            found += self._search(need, offers.to_queries(need, words, bids=True), bids=True)
        return found

    def create_machine(self, request: MachineRequest) -> Machine:
        """Rents, gives the instance the run's key once more, and reads back what was rented.

        What follows the create is a courtesy: whatever comes of it, the instance is known.
        """
        ask = request.offer.details["ask"]
        body = to_create_body(request)
        try:
            answer = self._http.send(
                "PUT", f"/api/v0/asks/{int(ask)}/", body=body, timeout_s=CREATE_TIMEOUT_S
            )
        except ProviderDown as error:
            raise OutcomeUnknown(f"the answer to a create was lost: {error.problem}") from error
        rented = to_integer((answer.problem() or {}).get("new_contract"))
        if not refusals.is_success(answer) or rented < 1:
            raise refusals.to_create_error(answer, ask, self._clock.now_s())
        machine_id = str(rented)
        self._attach_key(machine_id, request.public_key)
        return self._as_rented(machine_id, request)

    def get_machine(self, machine_id: str) -> Machine:
        row = self._row(machine_id)
        machine = self._machine(row)
        if machine.id != machine_id:
            raise ProviderDown("Vast.ai answered with another instance than the one asked for")
        return machine

    def list_machines(self) -> list[Machine]:
        """Over v1, all pages: the v0 list is retired, and was seen to be empty without an error."""

        def page(token: str) -> object:
            query = {"limit": str(_PAGE_ROWS), "order_by": '[{"col":"id","dir":"asc"}]'}
            return self._page("/api/v1/instances/", query, token)

        rows = instances.to_all(page, "instances", "total_instances", "instances", _MOST_PAGES)
        machines = [self._machine(row) for row in rows]
        return list({found.id: found for found in machines}.values())

    def delete_machine(self, machine_id: str) -> None:
        answer = self._http.send("DELETE", _path(machine_id), body={})
        if not refusals.says_no_such_instance(answer):
            self._good(answer)

    def identity(self) -> str:
        """`user:…,key:…`; the key's fingerprint alone where the key may not read the user."""
        if not self._user:
            self._user = self._account()[0]
        return joined_identity(self._user, self._fingerprint)

    def balance_usd(self) -> Decimal | None:
        return self._account()[1]

    def boot_log(self, machine_id: str, enough: Callable[[str], bool] | None = None) -> str:
        """What the container wrote, by way of a file that Vast.ai makes of it."""
        path = f"/api/v0/instances/request_logs/{_id(machine_id)}/"
        answer = self._http.send("PUT", path, body={"tail": str(_LOG_LINES)})
        if refusals.words(answer)[0] in ("invalid_id", "no_such_instance"):
            raise MachineNotFound(f"Vast.ai has no instance {machine_id} for this account")
        url = to_object(self._good(answer).data()).get("result_url")
        for _ in range(_LOG_TRIES):
            text = fetch_public(url if isinstance(url, str) else "", self._http.is_on_loopback)
            if text is not None:
                return text
            self._clock.wait(Event(), _LOG_AGAIN_S)
        return ""

    def boot_trouble(self, machine_id: str) -> str:
        """What its host's docker said, where it does not get over it."""
        return instances.to_trouble(self._row(machine_id))

    def charges(self, since_s: float, until_s: float) -> list[Charge]:
        filters = {
            "day": {"gte": int(since_s), "lte": int(until_s) + 1},
            "type": {"in": ["instance"]},
        }
        query = {
            "select_filters": json.dumps(filters, separators=(",", ":")),
            "format": "table",
            "latest_first": "true",
            "limit": str(_CHARGE_ROWS),
        }

        def page(token: str) -> object:
            return with_empty_rows(self._page("/api/v0/charges/", query, token), "results")

        rows = instances.to_all(page, "results", "total", "charges", _MOST_PAGES)
        return [instances.to_charge(row) for row in rows]

    def close(self) -> None:
        """Close idle connections; safe to repeat."""
        self._http.close()

    def _search(
        self, need: Need, queries: list[dict[str, Any]], *, bids: bool = False
    ) -> list[Offer]:
        """What the first query that finds something finds."""
        for query in queries:
            answer = self._http.send("POST", "/api/v0/bundles/", body=query)
            if found := offers.to_offers(self._good(answer).data(), need, bids=bids):
                return found
        return []

    def _good(self, answer: Answer) -> Answer:
        """The answer, where it says that the call worked. Raises what it says else."""
        if not refusals.is_success(answer):
            raise refusals.to_error(answer, self._clock.now_s())
        return answer

    def _page(self, path: str, query: Mapping[str, str], token: str) -> object:
        """One page of a list, not sooner than the API allows after the one before."""
        if token:
            self._clock.wait(Event(), _BETWEEN_PAGES_S)
        asked = {**query, "after_token": token} if token else query
        return self._good(self._http.send("GET", path, query=asked)).data()

    def _row(self, machine_id: str) -> object:
        """One instance as it is shown. Raises: as `get_machine`."""
        answer = self._http.send("GET", _path(machine_id))
        if refusals.says_no_such_instance(answer):
            raise MachineNotFound(f"Vast.ai has no instance {machine_id} for this account")
        data = self._good(answer).data()
        if not isinstance(data, dict) or "instances" not in data:
            raise ProviderDown("Vast.ai answered without the instance")
        row = data["instances"]
        if row is None:  # unknown and destroyed ones alike
            raise MachineNotFound(f"Vast.ai has no instance {machine_id} for this account")
        return row[0] if isinstance(row, list) and len(row) == 1 else row

    def _machine(self, row: object) -> Machine:
        return instances.to_machine(row, self._ssh_user, self._clock.now_s())

    def _attach_key(self, machine_id: str, public_key: str) -> None:
        """The start command brings the key too: whether either alone is enough is not certain."""
        try:
            self._http.send("POST", _path(machine_id) + "ssh/", body={"ssh_key": public_key})
        except ProviderError:
            return

    def _as_rented(self, machine_id: str, request: MachineRequest) -> Machine:
        """The new instance as it is shown, else as it was offered."""
        offer = request.offer
        offered = Machine(
            id=machine_id,
            label=request.label,
            status=MachineStatus.BOOTING,
            gpu=offer.gpu,
            gpu_count=offer.gpu_count,
            usd_per_hour=offer.price.usd_per_hour,
            created_at_s=self._clock.now_s(),
            spot=offer.spot,
        )
        try:
            shown = self.get_machine(machine_id)
        except ProviderError:
            return offered
        return replace(
            shown,
            label=request.label,
            gpu=shown.gpu or offer.gpu,
            usd_per_hour=shown.usd_per_hour or offered.usd_per_hour,
        )

    def _words_of(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Vast.ai's own names of these cards; empty, so no filter, where they cannot be had."""
        if not wanted:
            return ()
        if wanted not in self._gpu_words:
            try:
                answer = self._http.send("GET", "/api/v0/gpu_names/unique/")
                data = self._good(answer).data()
            except ProviderError:
                return ()
            self._gpu_words[wanted] = offers.to_gpu_words(data, wanted)
        return self._gpu_words[wanted]

    def _account(self) -> tuple[str, Decimal | None]:
        """User id and credit, as far as they can be had; a refusal is left alone for a while."""
        if self._clock.awake_s() < self._account_rests_until_s:
            return "", None
        try:
            answer = self._http.send("GET", "/api/v0/users/current/")
            user = to_object(self._good(answer).data())
        except ProviderError:
            self._account_rests_until_s = self._clock.awake_s() + _ACCOUNT_REST_S
            return "", None
        number = to_integer(user.get("id"))
        return (str(number) if number > 0 else ""), _to_credit(user)


def _to_credit(user: Mapping[str, object]) -> Decimal | None:
    """The guide shows `credit`, OpenAPI `balance`; neither is unknown, not zero. It may be owed."""
    told = next((user[key] for key in ("credit", "balance") if user.get(key) is not None), None)
    is_debt = isinstance(told, int | Decimal) and told < 0
    return Decimal(0) if is_debt else to_known_dollars(told)


def _id(machine_id: str) -> str:
    if not instances.is_id(machine_id):
        raise InvalidRequest("that is not the id of a Vast.ai instance")
    return machine_id


def _path(machine_id: str) -> str:
    return f"/api/v0/instances/{_id(machine_id)}/"
