"""An Amptek DP5 in front of the world's X-rays: packets in, packets out.

Source: DP5 Programmer's Guide (packets, acknowledge codes, text commands). What the guide could not be asked is marked
`assumed` here and listed in docs/decisions/0003-dp5-list-mode.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.errors import WireError
from drivers.wire import dp5
from drivers.wire.dp5 import Ack, BadPacket, Packet
from drivers.wire.dp5_list import encode_words
from drivers.wire.dp5_status import Device, ListSync, Status, flags, list_flags
from simulators.boxes.eds.pulses import ListFifo, PulseProcessor, Pulses, Shaping
from simulators.boxes.eds.text import DEFAULTS, TextError, checked
from simulators.boxes.line import ByteBox, Surroundings

DATAGRAM_TIME = 5e-3  # s each: a 1024-channel spectrum, 7 datagrams, takes about 35 ms by UDP
STALE = 0.1  # s after which half a packet is forgotten (assumed)
FIFO_DEPTH = 1024  # records (assumed)
FULL_SCALE = 1.024e6  # eV at a gain of 1: a property of this detector and preamplifier
DETECTOR_TEMPERATURE = 2200  # 0.1 K


class Photons(Protocol):
    """The detector crystal: `photons(until)` hands each photon out once, times (s) ascending and energies (eV)."""

    def photons(self, until: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...


class XrayWorld(Surroundings, Protocol):
    """What this server needs of the world."""

    @property
    def eds(self) -> Photons: ...

    def listen(self, input: str, heard: Callable[[float, bool], None], /) -> None: ...


class EdsServer(ByteBox[Packet]):
    """One DP5 on one line; its sync input is `eds.sync`."""

    def __init__(self, world: XrayWorld) -> None:
        super().__init__(world, dp5.Splitter())
        self._world = world
        self._heard = 0.0
        self._edges: list[float] = []
        self._text = dict(DEFAULTS)
        self._pulses = PulseProcessor()
        self._fifo = ListFifo(FIFO_DEPTH)
        self._enabled_at: float | None = None
        self._preset_reached = False
        self._done = world.clock.now()
        self._clear()
        world.listen("eds.sync", self._sync)
        self._answers: dict[dp5.Pid, Callable[[bytes], Packet]] = {
            dp5.STATUS.pid: lambda _: Packet(dp5.STATUS_REPLY, self._status().encode()),
            dp5.SPECTRUM.pid: lambda _: self._spectrum(status=False, clear=False),
            dp5.SPECTRUM_CLEAR.pid: lambda _: self._spectrum(status=False, clear=True),
            dp5.SPECTRUM_STATUS.pid: lambda _: self._spectrum(status=True, clear=False),
            dp5.SPECTRUM_STATUS_CLEAR.pid: lambda _: self._spectrum(status=True, clear=True),
            dp5.LIST.pid: lambda _: self._list(),
            dp5.CONFIGURE.pid: self._configure,
            dp5.READ_BACK.pid: self._read_back,
            dp5.CLEAR.pid: lambda _: self._acknowledged(self._clear),
            dp5.ENABLE.pid: lambda _: self._acknowledged(self._enable),
            dp5.DISABLE.pid: lambda _: self._acknowledged(self._disable),
            dp5.CLEAR_LIST_TIMER.pid: lambda _: self._acknowledged(lambda: self._fifo.clear_timer(self._done)),
            dp5.KEEP_ALIVE.pid: lambda _: _ack(Ack.OK),
            dp5.ECHO.pid: lambda data: Packet(dp5.ECHO_REPLY, data),
        }

    # the line ---------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        self._advance()
        if self._done - self._heard > STALE:
            self._splitter.reset()
        self._heard = self._done
        super().receive(data)

    def _hear(self, packet: Packet) -> None:
        answer = self._answers.get(packet.pid)
        self._reply(answer(packet.data) if answer else _ack(Ack.PID))

    def _mishear(self, error: WireError) -> None:
        self._splitter.reset()
        self._reply(_ack(error.ack if isinstance(error, BadPacket) else Ack.SYNC))

    def _reply(self, packet: Packet) -> None:
        due = max([self._done, *(moment for moment, _ in self._replies)])
        for datagram in dp5.datagrams(packet.encode()):
            due += DATAGRAM_TIME
            self._say(datagram, due)

    # answers ----------------------------------------------------------------------------------------------------------

    def _acknowledged(self, act: Callable[[], None]) -> Packet:
        act()
        return _ack(Ack.OK)

    def _configure(self, data: bytes) -> Packet:
        # commands before a bad one stay in force (assumed)
        try:
            for name, value in dp5.decode_text(data).items():
                if name == "RESC":
                    self._text = dict(DEFAULTS) if value == "Y" else self._text
                    continue
                new = checked(name, value)
                if name == "MCAC" and new != self._text[name]:
                    self._text[name] = new
                    self._clear()
                self._text[name] = new
        except TextError as refused:
            return Packet((0xFF, refused.ack), refused.command.encode("latin-1"))
        except WireError:
            return Packet((0xFF, Ack.UNRECOGNISED), data)
        self._fifo.framed = self._text["SYNC"] == "FRAME"
        self._fifo.tick = float(self._text["CLKL"]) * 1e-9
        return _ack(Ack.OK)

    def _read_back(self, data: bytes) -> Packet:
        try:
            names = dp5.decode_names(data)
        except WireError:
            return Packet((0xFF, Ack.UNRECOGNISED), data)
        for name in names:
            if name not in self._text:
                return Packet((0xFF, Ack.UNRECOGNISED), name.encode("latin-1"))
        text = b"".join(dp5.encode_text({name: self._text[name] for name in names}))
        return Packet(dp5.TEXT_REPLY, text) if len(text) <= dp5.LONGEST_TEXT else _ack(Ack.LENGTH)

    def _spectrum(self, *, status: bool, clear: bool) -> Packet:
        kind = 2 * dp5.CHANNELS.index(len(self._counts)) + (2 if status else 1)
        data = dp5.encode_spectrum(self._counts) + (self._status().encode() if status else b"")
        if clear:
            self._clear()
        return Packet((0x81, kind), data)

    def _list(self) -> Packet:
        words, lost = self._fifo.take()
        return Packet(dp5.LIST_FULL_REPLY if lost else dp5.LIST_REPLY, encode_words(words))

    def _status(self) -> Status:
        milliseconds = int(self._real * 1e3 + 1e-6)  # a sum of floats may fall short of its last millisecond
        return Status(
            fast=self._fast & 0xFFFFFFFF,
            slow=self._slow & 0xFFFFFFFF,
            accumulation=milliseconds,
            real=milliseconds,
            detector=DETECTOR_TEMPERATURE,
            flags=flags(enabled=self._enabled_at is not None, preset_reached=self._preset_reached),
            device=Device.DP5,
            list_flags=list_flags(ListSync[self._text["SYNC"]], self._fifo.tick),
        )

    # counting ---------------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._fast = self._slow = 0
        self._real = 0.0
        self._preset_reached = False
        self._counts = np.zeros(int(self._text["MCAC"]), dtype=np.int64)

    def _enable(self) -> None:
        if self._enabled_at is None:
            self._enabled_at = self._done

    def _disable(self) -> None:
        self._enabled_at = None

    def _sync(self, time: float, level: bool) -> None:
        if level:
            heapq.heappush(self._edges, time)

    def _advance(self) -> None:
        """Take what the detector saw until now, and count it."""
        self._world.catch_up()
        now, before = self._world.clock.now(), self._done
        times, energies = self._world.eds.photons(now)
        pulses = self._pulses.process(times, energies, now, self._shaping())
        if self._enabled_at is not None:
            stop = self._preset_end(before)
            self._count(pulses, self._enabled_at, min(now, stop))
            self._list_until(pulses, before, min(now, stop))
            self._real += min(now, stop) - before
            if stop <= now:
                self._enabled_at, self._preset_reached = None, True
        while self._edges and self._edges[0] <= now:  # the timer is set back also while nothing is counted
            self._next_edge()
        self._done = now

    def _count(self, pulses: Pulses, since: float, until: float) -> None:
        fast = np.count_nonzero((pulses.fast >= since) & (pulses.fast <= until))
        counted = self._counted(pulses, since, until)
        self._fast += int(fast)
        self._slow += int(np.count_nonzero(counted))
        self._counts += np.bincount(pulses.channels[counted], minlength=len(self._counts))

    def _list_until(self, pulses: Pulses, since: float, until: float) -> None:
        """Records in order: events, overflows of the timer, and the edges between them."""
        while True:
            edge = self._edges[0] if self._edges and self._edges[0] <= until else None
            end = until if edge is None else max(edge, since)
            counted = self._counted(pulses, since, end)
            self._fifo.record(since, end, pulses.times[counted], pulses.channels[counted])
            since = end
            if edge is None:
                return
            self._next_edge()

    def _next_edge(self) -> None:
        edge = heapq.heappop(self._edges)
        if self._fifo.framed:
            self._fifo.edge(edge)

    def _counted(self, pulses: Pulses, since: float, until: float) -> NDArray[np.bool_]:
        return (pulses.times > since) & (pulses.times <= until)

    def _preset_end(self, since: float) -> float:
        """When the acquisition stops by itself; nothing locks this box out, so accumulation is real time."""
        presets = [float(value) for value in (self._text["PRET"], self._text["PRER"]) if value != "OFF"]
        return since + max(0.0, min(presets) - self._real) if presets else np.inf

    def _shaping(self) -> Shaping:
        text = self._text
        full_scale = FULL_SCALE / float(text["GAIN"])
        return Shaping(
            peaking=float(text["TPEA"]) * 1e-6,
            flat=float(text["TFLA"]) * 1e-6,
            fast=float(text["TPFA"]) * 1e-9,
            slow_threshold=float(text["THSL"]) / 100.0 * full_scale,
            fast_threshold=float(text["THFA"]) / 512.0 * full_scale,
            channel_width=full_scale / int(text["MCAC"]),
            channels=int(text["MCAC"]),
            lowest_channel=0 if text["TLLD"] == "OFF" else int(text["TLLD"]),
        )


def _ack(code: Ack) -> Packet:
    return Packet((0xFF, code))
