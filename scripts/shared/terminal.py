"""What the scripts share at the terminal: where Bellhop is, options, how they fail, a table."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

import environ

ROOT = Path(__file__).resolve().parents[2]
environ.Env.read_env(ROOT / ".env")  # the ports may stand there; the environment wins


class Failed(Exception):
    """Something the person at the terminal can fix; the message is one sentence that says how."""


@dataclass(frozen=True, slots=True)
class Target:
    """The addresses of one Bellhop."""

    http: str
    ws: str


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Says the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def parser(description: str, *, epilog: str = "") -> argparse.ArgumentParser:
    """A parser that has --url."""
    made = argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=_Help)
    made.add_argument(
        "--url",
        metavar="URL",
        default=f"http://127.0.0.1:{os.environ.get('HTTP_PORT', '8000')}",
        help="where the REST API is",
    )
    return made


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add --ws-url."""
    parser.add_argument(
        "--ws-url",
        metavar="URL",
        help="where the socket is (default: the host of --url, with WS_PORT when --url names a port)",
    )


def add_login(parser: argparse.ArgumentParser, *, user: str, prefix: str = "", who: str) -> None:
    """Add --user and --password, or --<prefix> and --<prefix>-password; the demo's login is the default."""
    parser.add_argument(f"--{prefix or 'user'}", default=user, metavar="NAME", help=f"user name of {who}")
    parser.add_argument(
        f"--{prefix + '-' if prefix else ''}password", default=user, metavar="WORD", help="and the password"
    )


def target(options: argparse.Namespace) -> Target:
    """The addresses the options name. Raises Failed when one is not an address."""
    parts = _split("--url", options.url, schemes=("http", "https"))
    ws: str | None = getattr(options, "ws_url", None)
    if ws is None:
        # Without a port a proxy stands in front, and serves both.
        host = (
            parts.netloc
            if parts.port is None
            else f"{parts.netloc.rpartition(':')[0]}:{os.environ.get('WS_PORT', '8001')}"
        )
        ws = f"{parts.scheme.replace('http', 'ws')}://{host}/ws/notifications/"
    _split("--ws-url", ws, schemes=("ws", "wss"))
    return Target(http=options.url.rstrip("/"), ws=ws)


def _split(option: str, url: str, *, schemes: tuple[str, str]) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise Failed(f"{option} {url!r} is not an address that starts with {schemes[0]}:// or {schemes[1]}://.")
    return urlsplit(url)


def is_local(url: str) -> bool:
    """Whether the address is this machine, where no proxy of the environment is asked."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def whole(text: str) -> int:
    """argparse type: a whole number from 1."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number


def positive(text: str) -> float:
    """argparse type: a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns wide enough for what is in them: the first to the left, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def run(main: Callable[[], int]) -> NoReturn:
    """End the process with main's status; a failure is one sentence on stderr and status 1."""
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"{Path(sys.argv[0]).stem}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read us has gone (`| head`); Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
