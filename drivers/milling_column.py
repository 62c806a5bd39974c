"""The ion column as a cut borrows it: read, brought to what the cut says, and given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import RigError
from drivers.fibsem_api import FibsemApi, near
from drivers.ticket import Cut
from drivers.wire import fibsem as wire
from drivers.wire.fibsem_milling import FinishMilling
from physics.units import show

RESTORE = "Set the imaging current at the microscope before anything looks at the sample with the ion beam."


@dataclass(frozen=True)
class IonBeam:
    """What the ion beam is set to: V, A, and the width of its field, m."""

    voltage: float
    current: float
    field: float

    def __str__(self) -> str:
        return f"{show(self.current, 'pA')} at {show(self.voltage, 'kV')}"


class IonColumn:
    """The ion column behind a fibsem server.

    tolerance: relative, of voltage, current and field.
    """

    def __init__(self, api: FibsemApi, tolerance: float) -> None:
        self._api = api
        self._tolerance = tolerance

    def read(self, action: str) -> IonBeam:
        """What it is set to now, read twice. Raises LinkError, WireError, DeviceError."""
        voltage, current, field = (
            self._api.number(action, each, "ion", share=self._tolerance)
            for each in (wire.VOLTAGE, wire.CURRENT, wire.FIELD)
        )
        return IonBeam(voltage, current, field)

    def bring(self, action: str, voltage: float, current: float) -> IonBeam:
        """Set voltage and current where they are others; voltage first, for a server's own words set it last.

        What it is then.  Raises LinkError, WireError, DeviceError.
        """
        found = self.read(action)
        if not self._near(found, voltage, current):
            self._api.set(action, wire.VOLTAGE, "ion", voltage)
            self._api.set(action, wire.CURRENT, "ion", current)
            found = self.read(action)
        return found

    def confirm(self, action: str, cut: Cut) -> IonBeam:
        """Read voltage, current and field back; raises DeviceError when one is not what the cut says."""
        found = self.read(action)
        for what, is_at, wanted, unit in (
            ("voltage", found.voltage, cut.voltage, "kV"),
            ("current", found.current, cut.current, "pA"),
            ("field", found.field, cut.field, "um"),
        ):
            if not near(is_at, wanted, self._tolerance):
                raise self._api.no(
                    action,
                    f"the {what} of the ion beam reads back as {show(is_at, unit)}, the cut says {show(wanted, unit)}",
                    "Choose one that the column has.",
                )
        return found

    def give_back(self, action: str, before: IonBeam, *, stop: Callable[[], None]) -> None:
        """Stop, have the patterns forgotten, and go back, seen to be so; raises DeviceError that says what is not."""
        try:
            stop()
            self._api.do(action, wire.FINISH, FinishMilling(before.current, before.voltage))
            self._api.set(action, wire.FIELD, "ion", before.field)
            found = self.bring(action, before.voltage, before.current)
        except RigError as error:
            what = f"is not known to be back at imaging with {before} ({error})"
            raise self._api.no(action, what, RESTORE) from error
        if not self._near(found, before.voltage, before.current):
            raise self._api.no(action, f"is not back at imaging with {before}, but at {found}", RESTORE)

    def _near(self, found: IonBeam, voltage: float, current: float) -> bool:
        return near(found.voltage, voltage, self._tolerance) and near(found.current, current, self._tolerance)
