"""Talking to a GCS 2.0 controller: several messages at once, and every answer to its question."""

from __future__ import annotations

from itertools import cycle, permutations
from typing import Any

from drivers.errors import RigError, WireError
from drivers.links.base import Link
from drivers.links.exchange import Exchange
from drivers.wire import gcs2 as wire

STALE_ANSWERS = 16  # late ones read before the line is given up


class GcsConversation:
    """Messages to one controller and their answers.

    Answers do not name their question, but they keep its order of the axes: every question about the axes is asked in
    another order than the one before, so that the answer to another question, late or repeated, is known as such.
    """

    def __init__(self, link: Link, device: str, axes: tuple[str, ...]) -> None:
        self._orders = cycle(permutations(axes))
        self._splitter = wire.AnswerSplitter()
        self._exchange = Exchange(link, self._splitter, device=device, resync=self._forget_late_answers)
        self.identity = ""  # what the controller calls itself, once it is known

    def each(self, message: wire.Message) -> wire.Said:
        """A question about all axes, in an order of its own."""
        return message(*next(self._orders))

    def ask(self, action: str, *said: wire.Said) -> list[Any]:
        """Send several messages at once; returns what its questions were answered, in order.

        Asked once more if every message in it is safe.  Raises LinkError, WireError, Aborted.
        """
        questions = [one for one in said if one.message.answer is not None]

        def read(answers: tuple[tuple[str, ...], ...]) -> list[Any]:
            return [question.read(lines) for question, lines in zip(questions, answers, strict=True)]

        self._splitter.due = len(questions)
        safe = all(one.message.safe for one in said)
        return self._exchange.ask_for(action, b"".join(one.encoded() for one in said), read, safe=safe)

    def say(self, action: str, *said: wire.Said) -> None:
        """Send and expect nothing, though the line be in doubt: for what must at least have been said."""
        try:
            with self._exchange.link.transaction():
                self._exchange.put(b"".join(one.encoded() for one in said))
        except RigError as error:
            raise error.at(self._exchange.device, action) from None

    def _forget_late_answers(self) -> None:
        # the error goes with the identity: what a lost message left there is not the next one's
        due, self._splitter.due = self._splitter.due, 0
        try:
            self._exchange.put(wire.IDENTITY().encoded() + wire.ERROR().encoded())
            for _ in range(STALE_ANSWERS):
                try:
                    (answer,) = self._exchange.take("resync")
                except WireError:
                    continue  # a broken answer: the one asked for is behind it
                if len(answer) == 1 and self._is_identity(answer[0]):
                    self._exchange.take("resync")
                    return
        finally:
            self._splitter.due = due
        raise WireError(f"{STALE_ANSWERS} answers came, none of them its identity")

    def _is_identity(self, text: str) -> bool:
        return text == self.identity if self.identity else text.count(",") == 3
