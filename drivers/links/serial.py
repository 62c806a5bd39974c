"""A link over a serial port, or over anything pyserial has a URL for."""

from __future__ import annotations

import serial

from drivers.clock import Clock
from drivers.errors import LinkClosed, LinkError, LinkTimeout
from drivers.links.base import LONGEST_WAIT, AbortFlag
from drivers.links.port import PortLink


class SerialLink(PortLink):
    """Bytes to a serial port; opens it at once and for itself alone.

    port: `COM3`, `/dev/ttyUSB0` or a pyserial URL (`loop://`, `rfc2217://HOST:PORT`).  baudrate: bits a second.
    bytesize: 5 to 8 data bits.  parity: N, E, O, M or S.  stopbits: 1, 1.5 or 2.
    Raises LinkError when the port cannot be opened so.
    """

    def __init__(
        self,
        name: str,
        port: str,
        clock: Clock,
        abort: AbortFlag | None = None,
        *,
        baudrate: int = 9600,
        bytesize: int = 8,
        parity: str = "N",
        stopbits: float = 1,
    ) -> None:
        super().__init__(name, clock, abort)
        self.port = port
        try:
            self._line = serial.serial_for_url(
                port,
                baudrate=baudrate,
                bytesize=bytesize,
                parity=parity,
                stopbits=stopbits,
                timeout=0.0,
                write_timeout=LONGEST_WAIT,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            raise LinkError(
                f"the link {name} cannot open the serial port {port} ({error})",
                way_out="Is the adapter plugged in, and does no other program hold the port?",
            ) from None

    def _write(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except serial.SerialTimeoutException:
            raise LinkTimeout(f"the link {self.name}: the port took no more bytes for {LONGEST_WAIT:g} s") from None
        except OSError as error:
            raise self._lost(error) from None

    def _poll(self, seconds: float) -> bytes:
        try:
            first = b""
            if not self._line.in_waiting:
                if seconds == 0.0:
                    return b""
                if self._line.timeout != seconds:  # setting it talks to the operating system
                    self._line.timeout = seconds
                first = self._line.read(1)
            return bytes(first + self._line.read(self._line.in_waiting))
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> LinkClosed:
        self.close()
        return LinkClosed(
            f"the link {self.name} on {self.port} was lost ({error})",
            way_out="Is the adapter plugged in, and the box on?",
        )

    def _close(self) -> None:
        self._line.close()
