"""What an operator runs: tokens, and the recount of the heads."""

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from knox.models import AuthToken

from core.models import User
from notifications import audit, changes
from notifications.models import InboxHead
from tests.api import Caller
from tests.factories import NOW, accept, process, submission

pytestmark = pytest.mark.usefixtures("committed")


def test_a_token_that_works(alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("issue_token", "alice", days=2)
    token = capsys.readouterr().out.strip()
    assert Caller(token=token).get("/notifications")["results"] == []
    expiry = AuthToken.objects.get().expiry
    assert 1 <= (expiry - timezone.now()).days < 2
    assert token not in str(AuthToken.objects.values())


@pytest.mark.parametrize(("user", "days"), [("nobody", None), ("gone", None), ("alice", 0)])
def test_no_token(alice: User, user: str, days: int | None) -> None:
    User.objects.create(username="gone", is_active=False)
    with pytest.raises(CommandError):
        call_command("issue_token", user, days=days)
    assert not AuthToken.objects.exists()


def mixed_inbox(producer: User, alice: User) -> None:
    """Lines in every state: read by itself and by all, seen, archived, deleted, new."""
    for actions in (["read"], ["seen"], ["archive"], ["delete"], ["read_all"], []):
        accept(producer, submission("alice"))
        process()
        for action in actions:
            newest = [InboxHead.objects.get().head_seq]
            rows = list(alice.notification_set.filter(rev__in=newest).values_list("pk", flat=True))
            ids = None if action == "read_all" else rows
            changes.apply(alice.pk, action="read" if action == "read_all" else action, ids=ids, now=NOW)


def test_exact_heads_stay_as_they_are(producer: User, alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    mixed_inbox(producer, alice)
    before = InboxHead.objects.values().get()
    assert (before["unread"], before["unseen"]) == (1, 1)
    call_command("audit_counts", fix=True)
    assert capsys.readouterr().out == "Every head is exact.\n"
    assert InboxHead.objects.values().get() == before


def test_a_drifted_head_is_found_and_fixed(producer: User, alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    mixed_inbox(producer, alice)
    InboxHead.objects.update(unread=7, unseen=0)
    assert audit.find() == [audit.Drift("alice", 7, 0, 1, 1)]
    with pytest.raises(SystemExit) as ended:
        call_command("audit_counts")
    assert ended.value.code == 1
    assert capsys.readouterr().out == "alice: unread 7, counted 1; unseen 0, counted 1\n"
    call_command("audit_counts", fix=True)
    assert capsys.readouterr().out.endswith("Fixed: 1.\n")
    assert list(InboxHead.objects.values_list("unread", "unseen")) == [(1, 1)]
    assert audit.fix() == 0
