"""The provider contract: five calls and what differs between providers.

`CONTRACT.md` beside this file says what each error means and what the caller does about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from orchestrator.budget.price import Price
from orchestrator.clock import Clock
from orchestrator.offers.offer import Offer
from orchestrator.spec.resources import Need

if TYPE_CHECKING:
    from orchestrator.remote.hosts import Host
    from orchestrator.remote.shell import Shell


class Secret(Protocol):
    """A value that hides itself when printed; pydantic's SecretStr is one."""

    def get_secret_value(self) -> str:
        """The value itself."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What a provider is built from."""

    home: Path  # of this installation; machines of this computer live under it
    key: Secret | None = None
    urls: Mapping[str, str] = field(default_factory=dict)  # base URLs other than the defaults
    ssh_user: str = ""  # login name on its machines, "" = the provider's own
    ssh_port: int = 0  # where its machines' sshd listens, if it does not tell; 0 = as usual
    host: Host | None = None  # of the config file, for a provider of one's own computers
    clock: Clock | None = None  # by which those know a deadline; None: this computer's


class GuardWay(StrEnum):
    """How a machine of this provider can end itself."""

    START_COMMAND = "start_command"  # the boot guard runs in the container's start command
    AGENT = "agent"  # the machine is our own process group: the agent ends it
    NONE = "none"  # no guard if this computer is off


class BillingStart(StrEnum):
    """From when a machine costs its whole rate."""

    CREATED = "created"
    RUNNING = "running"  # before that its disk alone is charged


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What differs between providers; nobody compares a provider's name."""

    guard: GuardWay
    list_lag_s: float = 0.0  # a new or deleted machine may be missing from, or linger in, a list
    settle_s: float = 0.0  # how long to look before a lost create counts as absent
    billing_increment_s: int = 1
    billing_starts: BillingStart = BillingStart.CREATED
    bills: bool = True  # false: this machine costs nothing
    billing_lag_s: float = 0.0
    one_miss_is_noise: bool = False  # gone needs two full proofs
    rate_limit_is_proof: bool = False  # a 429 to create proves that nothing was rented
    boot_deadline_s: float = 480.0
    address_s: float = 0.0  # runs on a host of others → shows its address; 0: no such limit
    out_of_touch_s: float = 300.0  # a host that does not answer its provider may come back so late
    poll_s: float = 5.0  # how often one account is listed in a long wait
    min_create_interval_s: float = 0.0
    calls_per_minute: int = 0  # of one account; 0: no limit known
    intervals_s: Mapping[str, float] = field(default_factory=dict)  # least between two of one call
    has_boot_log: bool = False
    tells_balance: bool = False  # what is left on the account can be read, as a rule
    balance_spare: float = 1.0  # times a plan's worst case, that the account must hold
    balance_hours: float = 0.0  # of a machine's price, that the account must hold to rent it
    has_charges: bool = True  # where it bills: its own billing records can be read
    container_images: bool = True  # false: a whole computer, on which no image of a job runs
    takes_host_key: bool = False  # SSH by a host key that was given to it when it was rented
    # For so long CUDA may be dead after the first login (0: it is asked once); None: the agent's
    # own look after set-up is enough, where a dead GPU costs nothing.
    cuda_patience_s: float | None = None
    boot_s: tuple[float, float] = (20.0, 300.0)  # what a boot takes, low and high
    # So long after its deadline the provider is to stop a machine by itself, as far as is known; 0:
    # it does not. No guard: its disk bills on, and nobody has tried it.
    own_stop_s: float = 0.0
    can_stop: bool = False
    spot: bool = False


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where sshd listens."""

    host: str
    port: int
    user: str


@dataclass(frozen=True, slots=True)
class FolderAddress:
    """A machine that is a folder and a process group of this computer."""

    path: Path


Address = SshAddress | FolderAddress


class MachineStatus(StrEnum):
    """What the provider says of a machine; only a login proves that it is ready."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPED = "stopped"  # no compute, may still bill its disk
    FAILED = "failed"  # will not come up by itself, may still bill
    OUT_OF_TOUCH = "out of touch"  # its host does not answer the provider; it may come back


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine on the account that can still bill."""

    id: str
    label: str | None  # None: not one of ours
    status: MachineStatus
    gpu: str  # canonical card, or the provider's own word
    gpu_count: int
    usd_per_hour: Decimal  # what it bills now, everything included
    created_at_s: float  # epoch
    address: Address | None = None  # None: not known yet
    region: str = ""
    other_addresses: tuple[SshAddress, ...] = ()  # where else it may answer
    up_s: float | None = None  # for so long it has run; None: not told
    disk_gib: float | None = None  # None: not told
    traffic: Price | None = None  # what it charges a GiB; None: not told
    spot: bool = False  # it may be taken away for a higher bid


@dataclass(frozen=True, slots=True)
class MachineRequest:
    """What to rent, and what it must carry from its first second."""

    label: str
    offer: Offer
    image: str
    disk_gib: int
    public_key: str  # OpenSSH line, of this run alone
    start_command: str  # POSIX sh: the boot guard; must never return
    environment: dict[str, str] = field(default_factory=dict)  # never a secret
    ports: tuple[int, ...] = (22,)
    avoid: tuple[str, ...] = ()  # regions in which this run's machines did not come up
    bid_usd_per_hour: Decimal | None = None  # of the offer, where the job says `spot: true`
    host_private_key: str = field(
        default="", repr=False
    )  # of the machine's sshd, where it takes one
    host_public_key: str = ""


class Provider(Protocol):
    """Five calls. Errors are those of `orchestrator.errors`, as CONTRACT.md says."""

    name: str
    capabilities: Capabilities

    def list_offers(self, need: Need) -> list[Offer]:
        """Offers now, every part of the price in them; empty when there are none."""

    def create_machine(self, request: MachineRequest) -> Machine:
        """Rent one machine that carries `request.label`; may return before it boots.

        Raises: NoCapacity, OfferRefused, InvalidRequest, BadCredentials, QuotaExceeded,
        InsufficientFunds, NotSent: nothing was rented. RateLimited: a proof only where
        `rate_limit_is_proof`. RentedAnyway: return that machine. OutcomeUnknown: one may exist.
        """

    def get_machine(self, machine_id: str) -> Machine:
        """One machine. MachineNotFound only when the provider itself says so."""

    def list_machines(self) -> list[Machine]:
        """Every machine that can still bill, labelled or not, all pages; never a half list."""

    def delete_machine(self, machine_id: str) -> None:
        """Ask to end it; safe to repeat; returning means accepted, not gone."""


@runtime_checkable
class Account(Protocol):
    """Who pays."""

    def identity(self) -> str:
        """Stable id of the account, else the key's fingerprint; never a key.

        Several facts may be known: they are joined by a comma (`user:u1,key:ab12`), and two
        identities are the same account when `same_account` says so.
        """

    def balance_usd(self) -> Decimal | None:
        """Money left on the account; None when it cannot be read."""


@runtime_checkable
class Witness(Protocol):
    """Somebody else's client of the same account."""

    def second_list(self) -> frozenset[str] | None:
        """Ids of all its machines; None where that client is not installed."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something on an account that was made for a machine and outlives it."""

    kind: str  # for a person
    id: str
    label: str  # of the machine, or of the first one of its run


@runtime_checkable
class Leftovers(Protocol):
    """What an account keeps beside machines: keys, scripts, addresses."""

    def list_leftovers(self) -> list[Leftover]:
        """All that carry a label of ours, whichever home's."""

    def delete_leftover(self, leftover: Leftover) -> None:
        """Remove one; safe to repeat. Machines that live lose nothing by it."""


@runtime_checkable
class BootLog(Protocol):
    """Text that the machine printed before anybody could log in."""

    def boot_log(self, machine_id: str, enough: Callable[[str], bool] | None = None) -> str:
        """The log so far; empty when there is none yet.

        A provider whose log is a stream reads on for some seconds, unless `enough` holds of it.
        """


@runtime_checkable
class BootTrouble(Protocol):
    """What keeps a machine from coming up, where no status says so."""

    def boot_trouble(self, machine_id: str) -> str:
        """Why it will not come up, in its host's words; empty while it may."""


@runtime_checkable
class OwnLogin(Protocol):
    """How machines are reached where the run's own key is not known: as the person reaches them."""

    def open_shell(self, machine_id: str) -> Shell:
        """A new connection into the machine's work folder. Raises RemoteError."""

    def login_command(self, machine_id: str) -> list[str]:
        """argv of a login by hand."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the provider's own bill."""

    machine_id: str  # "" where it names none
    start_s: float
    end_s: float
    usd: Decimal | None  # None where it tells no amount


def total_usd(charges: Iterable[Charge]) -> Decimal | None:
    """What they come to; None where one tells no amount, for the others alone are no bound."""
    amounts = [charge.usd for charge in charges]
    known = [usd for usd in amounts if usd is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def has_nameless(charges: Iterable[Charge]) -> bool:
    """Whether a row names no machine: it may be any machine's."""
    return any(not charge.machine_id for charge in charges)


@runtime_checkable
class Charges(Protocol):
    """The provider's own billing records."""

    def charges(self, since_s: float, until_s: float) -> list[Charge]:
        """Records that touch the window; they lag by `billing_lag_s`."""


def same_account(recorded: str, current: str) -> bool | None:
    """Whether two identities are one account; None when they share no kind of fact.

    >>> same_account("user:u1,key:aa", "user:u1,key:bb")
    True
    >>> same_account("user:u1,key:aa", "user:u2,key:cc")
    False
    >>> same_account("user:u1,key:aa", "key:aa")
    True
    >>> same_account("user:u1,key:aa", "key:bb") is None
    True
    """
    facts, others = _facts(recorded), _facts(current)
    if "user" in facts and "user" in others:
        return facts["user"] == others["user"]
    if facts.get("key") is not None and facts.get("key") == others.get("key"):
        return True
    return None


def known_as(recorded: str, current: str) -> str:
    """One account's identity with all that two keys told; of one kind, the newer fact.

    >>> known_as("user:u1,key:aa", "key:bb")
    'user:u1,key:bb'
    """
    facts = _facts(recorded) | _facts(current)
    return ",".join(f"{kind}:{facts[kind]}" for kind in sorted(facts, reverse=True))


def _facts(identity: str) -> dict[str, str]:
    return dict(fact.split(":", 1) for fact in identity.split(",") if ":" in fact)
