"""What is told to the sockets: a subscription to the real channel."""

import json
from types import TracebackType
from typing import Any

import redis
from django.conf import settings

from notifications import live
from tests.waiting import wait_until


class Listener:
    """Hears every live message from here on. Use as `with Listener() as heard`."""

    def __enter__(self) -> "Listener":
        self._client = redis.Redis.from_url(settings.REDIS_URL)
        self._subscriber: Any = self._client.pubsub()  # type: ignore[no-untyped-call]
        self._subscriber.subscribe(live.CHANNEL)
        wait_until(self._next, what="the subscription")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._subscriber.close()
        self._client.close()

    def _next(self) -> Any:
        return self._subscriber.get_message(timeout=0.01)

    def messages(self) -> list[live.Live]:
        """All that was said so far: a mark of our own is sent behind it and waited for."""
        said: list[live.Live] = []
        self._client.publish(live.CHANNEL, live.canary("the end"))
        while True:
            message = wait_until(self._next, what="the end of what was said")
            decoded = live.decode(message["data"])
            if decoded.canary:
                return said
            said.append(decoded)

    def lines(self) -> list[tuple[int, int, str, int, int, Any]]:
        """The changes of all messages: person, number, change, unread, unseen, the notification (None: none)."""
        told = []
        for message in self.messages():
            assert message.batch is not None
            batch = message.batch
            for line in batch.lines:
                text = line.own + (batch.shared[line.index] if line.index >= 0 else "")
                body = json.loads(text) if text else None
                told.append((line.user_id, line.seq, str(line.change), line.unread, line.unseen, body))
        return told
