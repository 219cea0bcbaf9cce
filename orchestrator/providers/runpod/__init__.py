"""RunPod: pods over REST v2; identity and balance over what is left of GraphQL."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from urllib.parse import quote, urlsplit

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
    BootLog,
    BootTrouble,
    Capabilities,
    Charge,
    Charges,
    GuardWay,
    Machine,
    MachineRequest,
    Provider,
    ProviderSettings,
    Secret,
    Witness,
)
from orchestrator.providers.fields import fingerprint, joined_identity, with_empty_rows
from orchestrator.providers.http import (
    CREATE_TIMEOUT_S,
    Answer,
    Http,
    says_not_found,
    to_error,
)
from orchestrator.providers.pages import every_page
from orchestrator.providers.runpod import mapping
from orchestrator.providers.runpod.witness import ids_by_sdk, sdk_python
from orchestrator.spec.resources import Need

URL = "https://api.runpod.io/v2"
GRAPHQL_URL = "https://api.runpod.io/graphql"
_PAGE_ROWS = 1000
_LOG_LINES = 1000
_LOG_TOTAL_S = 10.0
_GRAPHQL_REST_S = 60.0


def build(settings: ProviderSettings) -> Provider:
    """RunPod as the settings say: `urls` may name `""` (REST) and `graphql`.

    Raises: MissingCredentials without a key; UsageError for a URL that would leak it.
    """
    if settings.key is None:
        raise MissingCredentials("no key for RunPod", hint="gpulease login runpod")
    return RunPod(
        settings.key,
        url=settings.urls.get("", URL),
        graphql_url=settings.urls.get("graphql", GRAPHQL_URL),
        ssh_user=settings.ssh_user or "root",
    )


class RunPod(Provider, Account, BootLog, BootTrouble, Charges, Witness):
    """One account of RunPod, as one key sees it."""

    name = "runpod"
    capabilities = Capabilities(
        guard=GuardWay.START_COMMAND,
        list_lag_s=10.0,
        settle_s=180.0,
        billing_increment_s=1,
        billing_lag_s=3600.0,
        one_miss_is_noise=True,
        rate_limit_is_proof=True,
        boot_deadline_s=480.0,
        address_s=180.0,
        poll_s=5.0,
        calls_per_minute=60,
        has_boot_log=True,
        tells_balance=True,
        cuda_patience_s=0.0,  # another host is cheaper than to wait for this one
        balance_hours=1.0,
    )

    def __init__(
        self,
        key: Secret,
        *,
        url: str = URL,
        graphql_url: str = GRAPHQL_URL,
        ssh_user: str = "root",
        log_quiet_s: float = 3.0,
        clock: Clock | None = None,
        python: str | None = None,
    ) -> None:
        """Connects to nothing yet. A `url` without a path gets `/v2`."""
        if urlsplit(url).path in ("", "/"):
            url = url.rstrip("/") + "/v2"
        self._key, self._graphql_url = key, graphql_url
        self._python = python or sdk_python()  # of RunPod's own SDK
        self._rest = Http(url, key, clock=clock)
        self._graphql = Http(graphql_url, key, clock=clock)
        self._ssh_user = ssh_user
        self._log_quiet_s = log_quiet_s
        self._fingerprint = fingerprint(key.get_secret_value())
        self._user = ""
        self._clock = clock or SystemClock()
        self._graphql_rests_until_s = 0.0

    def list_offers(self, need: Need) -> list[Offer]:
        """One offer per card and cloud, of as many GPUs as the need and one machine have."""
        offers: list[Offer] = []
        for cloud in mapping.TRUST:
            query = {
                "include": "AVAILABILITY",
                "product": "POD",
                "count": str(max(1, need.gpu_count)),
                "cloud": cloud,
            }
            if need.cuda:
                query["minCudaVersion"] = need.cuda
            answer = self._read("/catalog/gpus", query)
            offers += mapping.to_offers(answer.data(), cloud, need)
        return offers

    def create_machine(self, request: MachineRequest) -> Machine:
        try:
            answer = self._rest.send(
                "POST",
                "/pods",
                body=mapping.to_create_body(request),
                timeout_s=CREATE_TIMEOUT_S,
            )
            if not 200 <= answer.status < 300:
                raise mapping.to_create_error(answer)
            machine = mapping.to_machine(answer.data(), self._ssh_user)
        except ProviderDown as error:
            raise OutcomeUnknown(f"the answer to a create was lost: {error.problem}") from error
        if machine is None or machine.label != request.label:
            raise OutcomeUnknown("RunPod answered a create with something else than the machine")
        return machine

    def get_machine(self, machine_id: str) -> Machine:
        answer = self._rest.send("GET", _path(machine_id))
        machine = None
        if answer.status == 200:
            machine = mapping.to_machine(answer.data(), self._ssh_user)
            if machine is not None and machine.id != machine_id:
                raise ProviderDown("RunPod answered with another machine than the one asked for")
        elif not says_not_found(answer):
            raise to_error(self.name, answer)
        if machine is None:
            raise MachineNotFound(f"RunPod has no pod {machine_id} for this account")
        return machine

    def list_machines(self) -> list[Machine]:
        query = {"limit": str(_PAGE_ROWS), "includeClusterPods": "true"}
        rows = self._pages("/pods", query, "pods")
        machines = [mapping.to_machine(row, self._ssh_user) for row in rows]
        # A pod that is made between two pages moves others onto the next one.
        return list({found.id: found for found in machines if found is not None}.values())

    def delete_machine(self, machine_id: str) -> None:
        answer = self._rest.send("DELETE", _path(machine_id))
        if not 200 <= answer.status < 300 and not says_not_found(answer):
            raise to_error(self.name, answer)

    def identity(self) -> str:
        """`user:…,key:…`; the key's fingerprint alone when GraphQL does not name the user."""
        if not self._user:
            self._user = self._myself("id")[0]
        return joined_identity(self._user, self._fingerprint)

    def balance_usd(self) -> Decimal | None:
        return self._myself("id clientBalance")[1]

    def second_list(self) -> frozenset[str] | None:
        if self._python is None:
            return None
        return ids_by_sdk(self._python, self._key, self._graphql_url)

    def boot_log(self, machine_id: str, enough: Callable[[str], bool] | None = None) -> str:
        """Reads until the log is silent (3 s) or `enough`: the stream never ends."""
        query = {"tail": str(_LOG_LINES)}
        return self._log(machine_id, query, lambda text: enough is not None and enough(text))

    def boot_trouble(self, machine_id: str) -> str:
        """As the log of its host says, which is all that tells of a failed image pull."""
        query = {"tail": str(_LOG_LINES), "source": "system"}
        return mapping.to_trouble(
            self._log(machine_id, query, lambda text: bool(mapping.to_trouble(text)))
        )

    def charges(self, since_s: float, until_s: float) -> list[Charge]:
        query = {
            "startTime": mapping.timestamp(since_s),
            "endTime": mapping.timestamp(until_s),
            "bucketSize": "hour",
        }
        rows = self._pages("/billing/pods", query, "records", holes=True)
        return [mapping.to_charge(row) for row in rows]

    def close(self) -> None:
        """Close idle connections; safe to repeat."""
        self._rest.close()
        self._graphql.close()

    def _log(self, machine_id: str, query: dict[str, str], enough: Callable[[str], bool]) -> str:
        answer = self._rest.tail(
            _path(machine_id) + "/logs",
            query=query,
            quiet_s=self._log_quiet_s,
            total_s=_LOG_TOTAL_S,
            enough=lambda body: enough(mapping.to_log_text(body)),
        )
        if says_not_found(answer):
            raise MachineNotFound(f"RunPod has no pod {machine_id} for this account")
        if answer.status != 200:
            raise to_error(self.name, answer)
        return mapping.to_log_text(answer.body)

    def _read(self, path: str, query: dict[str, str]) -> Answer:
        answer = self._rest.send("GET", path, query=query)
        if answer.status != 200:
            raise to_error(self.name, answer)
        return answer

    def _pages(
        self, path: str, query: dict[str, str], key: str, *, holes: bool = False
    ) -> list[dict[str, object]]:
        """Rows of every page, or an error: never a half list.

        Args:
            holes: a row that is no object is read as {}.
        """

        def ask(cursor: str) -> tuple[list[dict[str, object]], str]:
            page = {**query, "cursor": cursor} if cursor else query
            data = self._read(path, page).data()
            return mapping.to_page(with_empty_rows(data, key) if holes else data, key)

        return every_page(ask, f"RunPod's list of {key}")

    def _myself(self, fields: str) -> tuple[str, Decimal | None]:
        """User id and balance, as far as they can be had.

        GraphQL is to be switched off in early 2027: nothing may depend on it, and a surface that
        failed is left alone for a while.
        """
        if self._clock.awake_s() < self._graphql_rests_until_s:
            return "", None
        try:
            answer = self._graphql.send("POST", "", body={"query": f"{{myself{{{fields}}}}}"})
            if answer.status != 200:
                raise to_error(self.name, answer)
            return mapping.to_account(answer.data())
        except ProviderError:
            self._graphql_rests_until_s = self._clock.awake_s() + _GRAPHQL_REST_S
            return "", None


def _path(machine_id: str) -> str:
    if not mapping.is_id(machine_id):
        raise InvalidRequest("that is not the id of a RunPod pod")
    return f"/pods/{quote(machine_id, safe='')}"
