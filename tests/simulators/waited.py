"""Waiting for what a simulated box with a web server says once it is over."""

from __future__ import annotations

from drivers.clock import VirtualClock
from drivers.wire.http import Request, Response
from simulators.boxes.http import HttpBox, Later


def answered(box: HttpBox, request: Request, clock: VirtualClock) -> Response:
    """The answer, when it has come."""
    answer = box.answer(request)
    while isinstance(answer, Later):
        clock.sleep(max(answer.at - clock.now(), 0.0))
        answer = answer.make()
    return answer
