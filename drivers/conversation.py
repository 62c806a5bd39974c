"""Talking to a text instrument: several messages in one line, and every answer to its question."""

from __future__ import annotations

from typing import Any

from drivers.errors import WireError
from drivers.links.base import Link
from drivers.links.exchange import Exchange
from drivers.wire.text import LineSplitter, Said, answers, compound

STALE_LINES = 8  # late answers read before the line is given up


class Conversation:
    """Lines to one text instrument.

    identity: what is asked when the line is in doubt; no other answer looks like it.  spacing: s between messages.
    """

    def __init__(self, link: Link, device: str, identity: tuple[Said, ...], *, spacing: float) -> None:
        self._identity = identity
        self._exchange = Exchange(
            link, LineSplitter(), device=device, spacing=spacing, resync=self._forget_late_answers
        )

    def ask(self, action: str, *said: Said) -> list[dict[str, Any]]:
        """Send several messages as one line; returns what its questions answered, in order.

        Asked once more if every message in it is safe.  Raises LinkError, WireError, Aborted.
        """
        safe = all(one.message.safe for one in said)
        return self._exchange.ask_for(action, compound(said), lambda line: answers(said, line), safe=safe)

    def say(self, *said: Said) -> None:
        """Send and expect nothing, though the line be in doubt: for what must at least have been said."""
        with self._exchange.link.transaction():
            self._exchange.put(compound(said))

    def _forget_late_answers(self) -> None:
        self._exchange.put(compound(self._identity))
        for _ in range(STALE_LINES):
            try:
                answers(self._identity, self._exchange.take("resync"))
            except WireError:
                continue  # a late or broken line: the answer asked for is behind it
            return
        raise WireError(f"{STALE_LINES} lines came, none of them its identity")
