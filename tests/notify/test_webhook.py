from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import standardwebhooks

from orchestrator.errors import NotifyError, UsageError
from orchestrator.notify.webhook import Webhook, make_webhook, new_secret, to_key
from tests.notify.receiver import Receiver, listening
from tests.runs.samples import NOW_S


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def test_a_receiver_can_verify_what_it_is_told(receiver: Receiver) -> None:
    secret = new_secret()
    body = b'{"schema":1}'

    make_webhook(receiver.url, secret).post("r1.finished", body, time.time())

    ((headers, heard),) = receiver.heard
    assert standardwebhooks.Webhook(secret).verify(heard, headers) == {"schema": 1}
    assert heard == body
    assert headers["content-type"] == "application/json"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(b'{"schema":2}', headers)


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    make_webhook(receiver.url, None).post("r1.finished", b"{}", NOW_S)

    assert "webhook-signature" not in receiver.heard[0][0]


@pytest.mark.parametrize("status", [302, 400, 500])
def test_only_a_2xx_is_accepted(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]

    with pytest.raises(NotifyError, match=f"answered {status}"):
        make_webhook(receiver.url, None).post("r1.finished", b"{}", NOW_S)

    assert len(receiver.heard) == 1


def test_nobody_there_is_an_error_without_the_address() -> None:
    with pytest.raises(NotifyError, match="does not answer") as caught:
        Webhook("http://127.0.0.1:9/hook?token=s3cr3t").post("r1", b"{}", NOW_S)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "example.org/hook", "ftp://example.org", "https://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"notify\.webhook"):
        make_webhook(url, None)


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%"])
def test_a_weak_secret_is_refused_with_a_good_one(secret: str) -> None:
    with pytest.raises(UsageError, match="at least 24 bytes") as caught:
        to_key(secret)

    assert len(to_key(caught.value.hint.split()[-1])) == 24
