"""Every error that this package raises on purpose.

GpuleaseError
├── SpecError            the job file is wrong (exit 2)
├── UsageError           the command line is wrong (2)
├── NoOffer              nothing to rent (3)
├── MissingCredentials   no key for a provider, or for a gated model (4)
├── BudgetRefused        a limit of ours says no (5)
├── HomeError            the home folder is unusable, a copy, or newer than this version (2)
├── RemoteError          a machine does not answer, or answers nonsense (6)
│   ├── Unreachable      no connection now; try again
│   │   └── LoginRefused an own computer takes none of the keys that OpenSSH offers
│   ├── HostKeyMismatch  somebody else answers at the address
│   └── AgentFault       the agent on the machine said or wrote something wrong
├── ArtifactsError       results are not home (8)
│   ├── HostileArtifact  a path, link or size that a machine has no business to send
│   ├── LostCheckpoint   a checkpoint is not on the machine, or is not what it claims to be
│   └── HomeDiskFull     no space left at home
├── BucketDown           object storage does not answer now; try again (6)
├── BucketRefused        object storage or its credentials say no (4)
├── NotifyError          who was to be told did not take it; told again later
├── StaleRun             somebody else moved the run: read it again
└── ProviderError        (6), each with a `recovery`
    ├── NoCapacity, OfferRefused, InvalidRequest, QuotaExceeded, InsufficientFunds,
    │   BadCredentials   nothing was rented
    ├── NotSent          something before a create failed: it was never sent
    ├── RateLimited      slow down
    ├── RentedAnyway     an error that names a machine
    ├── OutcomeUnknown   a machine may exist
    ├── MachineNotFound  the provider itself says that there is no such machine
    ├── ApiGone          this surface of the API was switched off; says nothing about machines
    └── ProviderDown     5xx, network, HTML: ask again later

`code` is published (README lists the values); `exit_code` is what the command ends with.
"""

from __future__ import annotations

from enum import Enum


class Recovery(Enum):
    """What the caller of a provider does about an error."""

    NEXT_OFFER = "nothing was rented: try the next offer"
    STOP = "nothing was rented: no other offer of this provider can help"
    WAIT = "ask again later"
    TRY_AGAIN = "nothing was rented: the same offer, once more"
    LOOK_FIRST = "a machine may exist: look under the label before anything else"
    RETURN_IT = "a machine was named: return it, then the next offer"
    GONE = "the machine is gone"


class GpuleaseError(Exception):
    """A problem in plain words, and the next thing to do about it."""

    code = "internal"
    exit_code = 70

    def __init__(self, problem: str, *, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class SpecError(GpuleaseError):
    """The job file is wrong; `problems` has every mistake, each with file:line."""

    code = "spec"
    exit_code = 2

    def __init__(self, problems: list[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = problems


class UsageError(GpuleaseError):
    """The command line asks for something that cannot be."""

    code = "usage"
    exit_code = 2


class HomeError(GpuleaseError):
    """The home folder cannot be used by this command."""

    code = "home"
    exit_code = 2


class NoOffer(GpuleaseError):
    """No machine that fits is for rent; the hint says the cheapest relaxation."""

    code = "no_offer"
    exit_code = 3


class MissingCredentials(GpuleaseError):
    """A key is absent or refused."""

    code = "credentials"
    exit_code = 4


class BudgetRefused(GpuleaseError):
    """A limit of the config file or of the job says no; nothing was rented."""

    code = "budget"
    exit_code = 5


class RemoteError(GpuleaseError):
    """A rented machine does not answer, or answers nonsense."""

    code = "remote"
    exit_code = 6


class Unreachable(RemoteError):
    """No connection to the machine now."""

    code = "unreachable"


class LoginRefused(Unreachable):
    """An own computer answers, and takes none of the keys that OpenSSH offers."""

    code = "login_refused"


class HostKeyMismatch(RemoteError):
    """Another host key than the pinned one: somebody else answers at this address."""

    code = "host_key"


class AgentFault(RemoteError):
    """The agent on the machine failed or wrote something that cannot be read."""

    code = "agent"


class ArtifactsError(GpuleaseError):
    """Results are not home."""

    code = "artifacts"
    exit_code = 8


class HostileArtifact(ArtifactsError):
    """A machine named a path, link or size that it has no business to send."""

    code = "hostile_artifact"


class LostCheckpoint(ArtifactsError):
    """A checkpoint is not on the machine any more, or is not what it claims to be."""

    code = "lost_checkpoint"


class HomeDiskFull(ArtifactsError):
    """No space left where the artifacts go."""

    code = "home_disk_full"


class BucketDown(GpuleaseError):
    """Object storage does not answer now; ask again later."""

    code = "bucket_down"
    exit_code = 6


class BucketRefused(GpuleaseError):
    """Object storage says no, or its credentials are absent, wrong or end too early."""

    code = "bucket"
    exit_code = 4


class NotifyError(GpuleaseError):
    """Somebody who was to be told did not accept it; it is told again later."""

    code = "notify"


class StaleRun(GpuleaseError):
    """Another writer moved the run first: read it again."""

    code = "stale_run"


class ProviderError(GpuleaseError):
    """Base of everything that a provider call can end with."""

    code = "provider"
    exit_code = 6
    recovery = Recovery.WAIT


class NoCapacity(ProviderError):
    """Sold out; nothing was rented."""

    code = "no_capacity"
    exit_code = 3
    recovery = Recovery.NEXT_OFFER


class OfferRefused(ProviderError):
    """This offer is closed to this account; nothing was rented."""

    code = "offer_refused"
    exit_code = 3
    recovery = Recovery.NEXT_OFFER


class InvalidRequest(ProviderError):
    """The provider refused the request as malformed; nothing was rented."""

    code = "invalid_request"
    recovery = Recovery.NEXT_OFFER


class BadCredentials(ProviderError):
    """The key was refused; nothing was rented, and nothing is known about machines."""

    code = "credentials"
    exit_code = 4
    recovery = Recovery.STOP


class QuotaExceeded(ProviderError):
    """The account may not rent more; nothing was rented."""

    code = "quota"
    exit_code = 3
    recovery = Recovery.STOP


class InsufficientFunds(ProviderError):
    """The account's balance is too low; nothing was rented."""

    code = "insufficient_funds"
    exit_code = 5
    recovery = Recovery.STOP


class RateLimited(ProviderError):
    """Too many calls; `retry_after_s` says for how long."""

    code = "rate_limited"

    def __init__(self, problem: str, *, retry_after_s: float = 5.0, hint: str = "") -> None:
        super().__init__(problem, hint=hint)
        self.retry_after_s = retry_after_s


class NotSent(ProviderError):
    """Something before a create did not work, so that it was never sent; try it again soon."""

    code = "not_sent"
    recovery = Recovery.TRY_AGAIN

    def __init__(self, problem: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


class RentedAnyway(ProviderError):
    """An error that names a machine: it exists and bills."""

    code = "rented_anyway"
    recovery = Recovery.RETURN_IT

    def __init__(self, problem: str, *, machine_id: str) -> None:
        super().__init__(problem)
        self.machine_id = machine_id


class OutcomeUnknown(ProviderError):
    """The call may have worked. Look under the label before doing anything else."""

    code = "outcome_unknown"
    recovery = Recovery.LOOK_FIRST


class MachineNotFound(ProviderError):
    """The provider itself says that this account has no such machine."""

    code = "machine_not_found"
    recovery = Recovery.GONE


class ApiGone(ProviderError):
    """This surface of the API was switched off (410); it says nothing about machines."""

    code = "api_gone"


class ProviderDown(ProviderError):
    """5xx, no network, or an answer that is not the API's: ask again later."""

    code = "provider_down"
