"""
Is this installation sound? Each answer is one line, and when it is not well one remedy.

Here is what facts mean: pure. workers/probes.py goes and asks.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from notifications.words import BreakerState

if TYPE_CHECKING:
    from notifications.gauges import Gauges, Trouble

LATE, STUCK = 30.0, 300.0  # seconds that work may be due: a second is normal, minutes are not
DISPATCHER_AWAY, BEAT_AWAY = 15.0, 60.0  # seconds; they sweep every 1 and every 10
SKEW_SEEN, SKEW_HARMS = 1.0, 10.0  # seconds between two clocks
DISK_LOW, DISK_FULL = 2**30, 200 * 2**20  # bytes; below the second the embedded servers do not start
KEY_LENGTH = 50
LOCAL = {"localhost", "127.0.0.1", "::1"}


class State(StrEnum):
    """How it stands. Only `fail` makes the doctor end with exit status 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """One thing that was looked at. `remedy` is empty when all is well."""

    name: str
    state: State
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Check:
    return Check(name, State.OK, what)


def warn(name: str, what: str, remedy: str) -> Check:
    return Check(name, State.WARN, what, remedy)


def fail(name: str, what: str, remedy: str) -> Check:
    return Check(name, State.FAIL, what, remedy)


def settings(*, demo: bool, debug: bool, secret_key: str, public_url: str, allowed_hosts: Sequence[str]) -> Check:
    """What the demo may have and others may not. core/checks.py refuses what cannot work at all."""
    name, url = "settings", urlsplit(public_url)
    host = url.hostname or ""
    if demo:
        return ok(name, "DEMO=1: people with known passwords; not for others")
    if debug:
        return fail(name, "DEBUG=1 shows settings and data to whoever causes an error", "Unset DEBUG.")
    if len(secret_key) < KEY_LENGTH:
        return fail(
            name,
            f"SECRET_KEY has {len(secret_key)} characters",
            f"Set SECRET_KEY to at least {KEY_LENGTH} random characters.",
        )
    if "*" in allowed_hosts or not any(_matches(host, pattern) for pattern in allowed_hosts):
        return fail(
            name,
            f"ALLOWED_HOSTS does not fit {host}",
            f"Set ALLOWED_HOSTS to the names people use, {host} among them, and not *.",
        )
    if url.scheme != "https" and host not in LOCAL:
        return fail(
            name,
            f"PUBLIC_URL is {public_url}: passwords and cookies can be read on the way",
            "End TLS in front of Bellhop and set PUBLIC_URL to https://.",
        )
    return ok(name, f"for {public_url}")


def _matches(host: str, pattern: str) -> bool:
    return host == pattern.strip("[]") or (pattern.startswith(".") and f".{host}".endswith(pattern))


def embedded(names: Sequence[str], *, demo: bool) -> Check:
    """Whether the servers of the wheels hold what others rely on."""
    if not names:
        return ok("servers", "PostgreSQL and Redis are yours")
    if demo:
        return ok("servers", f"embedded: {', '.join(names)}")
    return warn(
        "servers",
        f"embedded: {', '.join(names)}; no backups, one machine",
        "For others, set DATABASE_URL and REDIS_URL to servers that somebody looks after.",
    )


def clock(skew: float) -> Check:
    """`skew`: seconds by which PostgreSQL's clock is ahead of this machine's."""
    what = f"PostgreSQL's and this machine's differ by {abs(skew):.1f} s"
    if abs(skew) < SKEW_SEEN:
        return ok("clock", what)
    remedy = "Run an NTP client on every machine: work is due, and leases end, by these clocks."
    return fail("clock", what, remedy) if abs(skew) >= SKEW_HARMS else warn("clock", what, remedy)


def isolation(level: str) -> Check:
    """Sequence numbers are handed out under READ COMMITTED: a stricter level would make writers fail."""
    if level == "read committed":
        return ok("isolation", level)
    return fail(
        "isolation",
        f"PostgreSQL's default is {level}",
        "ALTER DATABASE ... SET default_transaction_isolation = 'read committed'.",
    )


def migrations(pending: Sequence[str]) -> Check:
    if not pending:
        return ok("migrations", "all applied")
    return fail("migrations", f"{len(pending)} not applied: {', '.join(pending[:3])}", "Run `manage.py migrate`.")


def eviction(policy: str, *, limit: int) -> Check:
    """`limit`: bytes, 0 for none. Whether Redis keeps anything on disk does not matter: nothing there is precious."""
    if not limit or policy == "noeviction":
        return ok("eviction", f"maxmemory {limit or 'not set'}, {policy}")
    return warn(
        "eviction",
        f"{policy}: under pressure Redis would forget whole queues",
        "Set maxmemory-policy to noeviction: hints are sent again, but each lost one costs a second or more.",
    )


def workers(consumers: Mapping[str, Sequence[str]], *, waiting: Mapping[str, int]) -> Check:
    """`consumers`: by queue, who reads it. A queue that nobody reads is work that waits."""
    unread = [queue for queue, readers in consumers.items() if not readers]
    if not unread:
        count = len({reader for readers in consumers.values() for reader in readers})
        return ok("workers", f"{count} answered, every queue is read")
    longest = ", ".join(f"{queue} ({waiting.get(queue, 0)} waiting)" for queue in unread)
    return fail("workers", f"nobody reads {longest}", "Start the processes worker, worker_urgent, worker_delivery.")


def sweep(name: str, *, seconds_ago: float | None, limit: float) -> Check:
    """Whether the dispatcher or beat still turns. None: nothing was ever heard of it."""
    if seconds_ago is not None and seconds_ago <= limit:
        return ok(name, f"swept {max(0.0, seconds_ago):.0f} s ago")
    heard = "was never heard of" if seconds_ago is None else f"was last heard of {seconds_ago:.0f} s ago"
    return fail(name, f"{name} {heard}", f"Start the process {name}: without it lost hints are found late or never.")


def lanes(read: "Gauges") -> Check:
    """Whether work waits longer than it should. The times are those that `read.late` gives."""
    late = sorted(read.late(), reverse=True)
    if not late or late[0][0] < LATE:
        return ok("lanes", "nothing is overdue")
    seconds, where = late[0]
    remedy = "docs/operations.md, A stuck lane: does a worker of that lane run, and is its provider there?"
    what = f"{where}: the oldest has been due for {seconds:.0f} s"
    return fail("lanes", what, remedy) if seconds >= STUCK else warn("lanes", what, remedy)


def deliveries(trouble: Iterable["Trouble"], *, breakers: Mapping[str, str]) -> Check:
    """What ended badly within a day, and providers that are left alone now."""
    shut = [name for name, state in sorted(breakers.items()) if state != BreakerState.CLOSED]
    if shut:
        return fail(
            "deliveries",
            f"left alone after failures: {', '.join(shut)}",
            "`detail` in the table notifications_breaker says why; they are probed now and then.",
        )
    bad = [f"{one.channel} {one.failed} failed, {one.unknown} unknown" for one in trouble if one.failed or one.unknown]
    if bad:
        return warn("deliveries", f"within 24 h: {'; '.join(bad)}", "docs/operations.md, The mail server is down.")
    return ok("deliveries", "none failed within 24 h")


def drift(count: int | None) -> Check:
    """`count`: people whose badge differs from a recount; None: the recount took too long."""
    if count is None:
        return warn("counts", "the recount takes too long for now", "Run `manage.py audit_counts` at a quiet hour.")
    if count:
        return fail("counts", f"{count} badges are wrong", "Keep what `manage.py audit_counts` prints, then --fix.")
    return ok("counts", "every badge is exact")


def disk(free: int, *, directory: str) -> Check:
    what = f"{free / 2**30:.1f} GB free in {directory}"
    if free >= DISK_LOW:
        return ok("disk", what)
    remedy = "Free some space, or set DATA_DIR to a directory on another disk."
    return fail("disk", what, remedy) if free < DISK_FULL else warn("disk", what, remedy)


def sender(domain: str, *, found: bool, demo: bool) -> Check:
    """`found`: the domain of EMAIL_FROM has an address. What else receivers ask for, only its DNS can tell."""
    by_hand = f"`dig MX {domain}`, `dig TXT {domain}` (SPF) and `dig TXT _dmarc.{domain}`"
    if domain in LOCAL or "." not in domain:
        remedy = "Set EMAIL_FROM to an address of a domain of yours."
        what = f"EMAIL_FROM is at {domain or 'no domain'}"
        return ok("sender", what) if demo else warn("sender", f"{what}: receivers will refuse it", remedy)
    if not found:
        return warn("sender", f"{domain} has no address in DNS", f"Look at {by_hand}: bounces need a way back.")
    return ok("sender", f"{domain} is in DNS; by hand: {by_hand}")
