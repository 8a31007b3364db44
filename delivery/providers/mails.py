"""What all mails have in common, whoever carries them. Pure."""

import re
from email.utils import parseaddr

from notifications.values import Message

# A dot-atom at a domain (RFC 5322, 3.4.1), ASCII and at most 254 long (RFC 5321, 4.5.3.1.3): it goes into a command.
_ADDRESS = re.compile(r"(?=.{3,254}$)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")


def may_be_address(text: str) -> bool:
    """Whether a mail could be sent there. Most that is no address is found out only by sending."""
    return _ADDRESS.fullmatch(text) is not None


def subject(message: Message) -> str:
    """On one line. More characters end a line in a header than in a title: U+2028, for example."""
    return " ".join(message.subject.splitlines())


def headers(message: Message, *, sender: str) -> dict[str, str]:
    """By name. DKIM must sign the List- ones, or mail programs do not believe them (RFC 8058, 4)."""
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    found = {
        # The same at every attempt, so that a receiver can recognise a repeat (RFC 5322, 3.6.4).
        "Message-ID": f"<{message.key}@{domain}>",
        "X-Request-ID": message.trace_id,
        "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office answers to us
    }
    if message.unsubscribe:
        found["List-Unsubscribe"] = f"<{message.unsubscribe}>"
        found["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return found
