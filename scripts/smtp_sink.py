#!/usr/bin/env python
"""
A mail server that delivers nowhere: each message becomes a file, and one printed line.

    python scripts/smtp_sink.py --port 1025 --directory .data/mail
"""

import argparse
import asyncio
import email
import email.policy
import os
import signal
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


class Sink:
    """aiosmtpd's handler: says 250 once the message is a complete file in the directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store one message. The file appears whole: readers never see half of it."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{uuid.uuid4().hex[:8]}"
        part = self.directory / f"{name}.part"
        part.write_bytes(content)
        path = part.rename(self.directory / f"{name}.eml")
        subject = email.message_from_bytes(content, policy=email.policy.default)["subject"]
        print(f"mail to {', '.join(envelope.rcpt_tos)}: {subject} -> {path}", flush=True)
        return "250 stored"


async def serve(*, host: str, port: int, directory: Path) -> None:
    """Listen until SIGINT or SIGTERM. Raises OSError when the port is in use."""
    directory.mkdir(parents=True, exist_ok=True)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    sink = Sink(directory)
    async with await loop.create_server(
        lambda: SMTP(sink, hostname="localhost", enable_SMTPUTF8=True, loop=loop), host, port
    ):
        await stopped.wait()


def main() -> None:
    """Read the command line, serve."""
    parser = argparse.ArgumentParser(description="A mail server that stores every message as a file.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("SMTP_PORT", "1025")))
    parser.add_argument("--directory", type=Path, default=Path(os.environ.get("DATA_DIR", ".data")) / "mail")
    options = parser.parse_args()
    try:
        asyncio.run(serve(host=options.host, port=options.port, directory=options.directory))
    except OSError as error:
        sys.exit(f"smtp_sink: cannot listen on {options.host}:{options.port}: {error.strerror}")


if __name__ == "__main__":
    main()
