"""What ESPs report by webhook, in Postmark's own words (https://postmarkapp.com/developer/webhooks/bounce-webhook)."""

import base64
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from anymail.signals import EventType, RejectReason
from django.conf import settings
from django.test import Client, override_settings

from core.models import User
from delivery import bounces
from notifications.models import Suppression
from notifications.suppressions import Cause
from tests import mail
from tests.deciding import deliver, rows, tell

pytestmark = pytest.mark.usefixtures("committed")
SECRET = "postmark:a-long-random-password"
URL = "/anymail/postmark/tracking/"


def told(kind: str, type: str, **fields: Any) -> dict[str, Any]:
    """A webhook's body."""
    return {
        "RecordType": kind,
        "ID": 4323372036854775807,
        "Type": type,
        "TypeCode": 1,
        "Name": type,
        "Tag": "",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "ServerID": 23,
        "MessageStream": "outbound",
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist.",
        "Email": "Alice@example.com",
        "From": "bellhop@example.com",
        "BouncedAt": "2026-03-02T12:00:00Z",
        "DumpAvailable": True,
        "Inactive": True,
        "CanActivate": True,
        "Subject": "Water the plants",
        "Metadata": {"key": "key.1"},
        **fields,
    }


HARD = told("Bounce", "HardBounce")
COMPLAINT = told(
    "SpamComplaint", "SpamComplaint", Description="The subscriber marked this message as spam.", Details=""
)


@pytest.fixture(autouse=True)
def secret() -> Iterator[None]:
    with override_settings(ANYMAIL=settings.ANYMAIL | {"WEBHOOK_SECRET": SECRET}):
        yield


def post(body: Any, *, credentials: str | None = SECRET) -> int:
    """The status of the answer to an ESP that says this."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    sent = {} if credentials is None else {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
    text = body if isinstance(body, str) else json.dumps(body)
    return int(client.post(URL, text, content_type="application/json", headers=sent).status_code)


def listed() -> list[tuple[str, str, str]]:
    return list(Suppression.objects.order_by("address").values_list("channel", "address", "cause"))


def test_a_hard_bounce_ends_mail_to_the_address(producer: User, alice: User, server: mail.MailServer) -> None:
    assert post(HARD) == 200
    (row,) = Suppression.objects.all()
    assert (row.channel, row.address, row.cause, row.until) == ("email", "alice@example.com", "bounce", None)
    assert row.detail.startswith("Postmark: The server was unable to deliver your message")
    assert "5.1.1" in row.detail
    tell(producer, "alice")
    deliver()
    assert (rows(), server.received) == ([("suppressed", "address_suppressed", None)], [])


def test_the_same_word_twice_is_one(alice: User) -> None:
    assert [post(HARD), post(HARD)] == [200, 200]
    assert listed() == [("email", "alice@example.com", "bounce")]


def test_a_complaint_is_one(alice: User) -> None:
    assert [post(HARD), post(COMPLAINT), post(HARD)] == [200, 200, 200]
    assert listed() == [("email", "alice@example.com", "complaint")]


@pytest.mark.parametrize(
    "body",
    [
        told("Bounce", "SoftBounce", Description="Unable to temporarily deliver message.", Inactive=False),
        told("Bounce", "Transient"),
        told("Bounce", "DnsError"),
        told("Bounce", "AutoResponder"),
        told("Bounce", "VirusNotification"),
        told("Bounce", "Blocked"),
        told("Bounce", "HardBounce", Details="smtp;552 5.2.2 Over quota"),
        told("Bounce", "HardBounce", Details="smtp;450 4.2.1 Try later"),
        told("Bounce", "HardBounce", Email=""),
        {"RecordType": "Delivery", "Recipient": "alice@example.com", "DeliveredAt": "2026-03-02T12:00:00Z"},
        {"RecordType": "Open", "Recipient": "alice@example.com", "ReceivedAt": "2026-03-02T12:00:00Z"},
    ],
    ids=lambda body: f"{body.get('Type', body['RecordType'])}",
)
def test_what_may_pass_suppresses_nobody(alice: User, body: dict[str, Any]) -> None:
    assert (post(body), listed()) == (200, [])


@pytest.mark.parametrize("credentials", [None, "postmark:wrong", "a-long-random-password", "", SECRET + "x"])
def test_without_the_secret_nothing_is_believed(alice: User, credentials: str | None) -> None:
    assert (post(HARD, credentials=credentials), listed()) == (400, [])


def test_an_installation_without_a_secret_believes_nobody(alice: User) -> None:
    with override_settings(ANYMAIL=settings.ANYMAIL | {"WEBHOOK_SECRET": original_secret()}):
        assert [post(HARD, credentials=given) for given in (None, "", ":", "nobody:", SECRET)] == [400] * 5
    assert listed() == []


def original_secret() -> str:
    from core import settings as ours

    return str(ours.ANYMAIL["WEBHOOK_SECRET"])


@pytest.mark.parametrize(("body", "status"), [("", 500), ("{", 500), ("[]", 500), ("null", 500), ('{"x": 1}', 200)])
def test_what_is_no_report_changes_nothing(alice: User, body: str, status: int) -> None:
    assert (post(body), listed()) == (status, [])  # the ESP sends it again, and its people see that


@pytest.mark.parametrize(
    ("kind", "reason", "words", "expected"),
    [
        (EventType.BOUNCED, RejectReason.BOUNCED, {"bounce_class": "10"}, Cause.BOUNCE),
        (EventType.BOUNCED, RejectReason.INVALID, {}, Cause.BOUNCE),
        (EventType.REJECTED, RejectReason.INVALID, {}, Cause.BOUNCE),
        (EventType.REJECTED, RejectReason.BOUNCED, {}, Cause.BOUNCE),
        (EventType.REJECTED, RejectReason.UNSUBSCRIBED, {}, None),
        (EventType.BOUNCED, RejectReason.TIMED_OUT, {}, None),
        (EventType.BOUNCED, RejectReason.SPAM, {}, None),
        (EventType.BOUNCED, RejectReason.BOUNCED, {"event": "soft_bounce"}, None),  # Brevo, Mandrill
        (EventType.BOUNCED, RejectReason.BOUNCED, {"type": "activity.soft_bounced"}, None),  # MailerSend
        (EventType.DEFERRED, RejectReason.BOUNCED, {}, None),
        (EventType.COMPLAINED, RejectReason.SPAM, {}, Cause.COMPLAINT),
        (EventType.COMPLAINED, None, {}, Cause.COMPLAINT),
        (EventType.UNSUBSCRIBED, RejectReason.UNSUBSCRIBED, {}, None),
    ],
)
def test_other_esps_words(kind: str, reason: str | None, words: dict[str, str], expected: Cause | None) -> None:
    event = SimpleNamespace(event_type=kind, reject_reason=reason, description=None, mta_response=None, esp_event=words)
    assert bounces.cause(event) == expected


def test_amazon_says_it_in_its_description() -> None:
    event = SimpleNamespace(
        event_type=EventType.BOUNCED,
        reject_reason=RejectReason.BOUNCED,
        description="Transient: General",
        mta_response="smtp; 550",
        esp_event={},
    )
    assert bounces.cause(event) is None
