"""
Unsubscribe links: what a mail carries so that one click ends mails of its kind (RFC 2369, RFC 8058). Pure, but for
the key that signs.

A link says whose setting it switches off, and which one. Nothing in it is secret, it opens nothing else, and it
does not expire: people clear out mails that are years old, and a link that is refused is a complaint instead.
"""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urljoin

from django.conf import settings
from django.core import signing

from core.errors import NotFound
from notifications import resolver
from notifications.choices import Raw, read
from notifications.ledger import Item


def _signer() -> signing.Signer:
    # Its own salt: nothing else that our key signs is a link. Some mail programs would quote a colon.
    return signing.Signer(salt="bellhop.unsubscribe", sep=".")


class Link(NamedTuple):
    """Whose setting it switches off; the scope is "category:tasks", "type:task.assigned" or "topic:garden"."""

    user_id: int
    channel: str
    scope: str


def sign(link: Link) -> str:
    """The token of a link. The same link has the same token."""
    return _signer().sign_object(list(link))


def opened(token: str) -> Link:
    """The link behind a token. Raises NotFound for what we did not sign as one."""
    try:
        return Link(*_signer().unsign_object(token))
    except signing.BadSignature as error:
        raise NotFound from error


def url(link: Link) -> str:
    """Where a mail program POSTs, and a person looks."""
    return urljoin(settings.PUBLIC_URL, f"/unsubscribe/{sign(link)}")


def link(items: Iterable[Item], *, user_id: int, channel: str, category: str, raw: Raw) -> Link | None:
    """
    The link for a message with these items. None: its types require the channel, and no setting ends that.

    It is for the setting that decides: of the person's own the most specific one, which stands above their
    category's. Where there is none, or a digest's items have several, the category's.
    """
    own = read(raw).person.settings
    scopes = set()
    for item in items:
        if channel not in item.required:
            above = (scope for scope in resolver.scopes(resolver.facts_of(item)) if (scope, channel) in own)
            scopes.add(next(above, f"category:{category}"))
    if not scopes:
        return None
    return Link(user_id, channel, scopes.pop() if len(scopes) == 1 else f"category:{category}")
