"""What must not be shown: credentials that a provider's answer repeats, and whole addresses. Pure."""

import re

HIDDEN = "***"
_NAMES = r"authorization|password|passwd|secret|signature|token|key"
_SECRETS: list[tuple[re.Pattern[str], str]] = [
    # https://user:password@host (RFC 3986, 3.2.1)
    (re.compile(r"(?<=://)[^/\s@]+(?=@)"), HIDDEN),
    # Bearer abc (RFC 6750, 2.1), Basic abc (RFC 7617, 2). It may hide the second word of a sentence.
    (re.compile(r"\b(bearer|basic) +[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # token=abc, "client_secret": "abc", x-api-key: abc
    (
        re.compile(rf"""((?:{_NAMES})["']?\s*[=:]\s*["']?)(?!bearer\b|basic\b)[^\s"'&,;]+""", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    # JSON web tokens (RFC 7519, 3.1), and what is that long and no word: a device's token, a webhook's path.
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|(?<![\w+=-])(?=[A-Za-z_+=-]*[0-9])[\w+=-]{40,}"), HIDDEN),
]


def redact(text: str) -> str:
    """The text without what looks like a credential. Doing it again changes nothing."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def mask(address: str) -> str:
    """Enough of an address to recognise it: who asks need not learn it. A device's is only its number."""
    if re.fullmatch(r"device:[0-9]+", address):
        return address
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}***{at}{domain}" if at else f"{address[:4]}***"
