"""A small HTTP box and the line to it, for tests of links."""

from __future__ import annotations

from drivers.clock import VirtualClock
from drivers.links import AbortFlag, Fault, FaultyLink, HttpLink, Link, MemoryLink
from drivers.wire.http import JSON, Request, Response, json_bytes
from simulators.boxes.http import HttpPeer, Later


class EchoBox:
    """Says what it heard; `/slow` takes 3 s, `/big` brings 2 MiB."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.heard: list[Request] = []

    def answer(self, request: Request) -> Response | Later:
        self.heard.append(request)
        match request.path:
            case "/slow":
                return Later(self.clock.now() + 3.0, lambda: Response(200, b"done", "text/plain"))
            case "/big":
                return Response(200, bytes(2 << 20), "application/octet-stream")
            case "/none":
                return Response(404, b"no such path", "text/plain")
        if request.method == "PUT":
            return Response(204)
        return Response(200, json_bytes({"path": request.path, "query": request.query}), JSON)


class HttpBench:
    """A clock, a box, and an HttpLink to it over a faulty line in memory."""

    def __init__(self, *faults: Fault, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.box = EchoBox(self.clock)
        self.abort = AbortFlag()
        inner: Link = MemoryLink("echo", HttpPeer(self.box, self.clock), self.clock, self.abort)
        self.bytes = FaultyLink(inner, faults, seed=seed)
        self.link = HttpLink(self.bytes)
