"""Drivers of third parties: what installed packages offer, imported only when a rig file names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel

from drivers.kind import GROUP, Kind

FAILURES = (
    ImportError,
    SyntaxError,
    AttributeError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    OSError,
)
"""What the import of somebody's module may raise."""

VERBS = ("open", "close", "make_safe", "status")


class PluginError(Exception):
    """A driver that a package offers cannot be used; names the package and what it offers."""


@dataclass(frozen=True)
class Offer:
    """One driver that an installed package offers; nothing of the package is imported to know of it."""

    name: str
    package: str
    version: str
    entry: EntryPoint

    def __str__(self) -> str:
        return f"{self.name} ({self.package} {self.version}, {self.entry.value})"

    def kind(self) -> Kind:
        """The driver, imported now; raises PluginError."""
        try:
            found = self.entry.load()
        except FAILURES as error:
            said = " ".join(str(error).split()) or "no reason given"
            raise PluginError(f"{self} cannot be imported: {type(error).__name__}: {said}") from None
        if not isinstance(found, Kind):
            raise PluginError(f"{self} is a {type(found).__name__}, not a drivers.kind.Kind")
        settings = getattr(found.driver, "Settings", None)
        if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
            raise PluginError(f"{self}: its driver {found.driver.__name__} has no Settings, a pydantic model")
        if missing := [verb for verb in VERBS if not callable(getattr(found.driver, verb, None))]:
            raise PluginError(f"{self}: its driver {found.driver.__name__} has no {', '.join(missing)}")
        return found


class Kinds(Mapping[str, Kind]):
    """Our own drivers, and those of third parties by the names they offer them under.

    A name that we have is ours, whoever else offers it.  Asking for one of a third party raises PluginError when it
    cannot be imported, is no driver, or is offered by two packages.
    """

    def __init__(self, own: Mapping[str, Kind]) -> None:
        self._own = own
        self._loaded: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name in self._own:
            return self._own[name]
        if name not in self._loaded:
            offers = [offer for offer in self.offers if offer.name == name]
            if not offers:
                raise KeyError(name)
            if len(offers) > 1:
                raise PluginError(f"two packages offer it: {' and '.join(map(str, offers))}; uninstall one")
            self._loaded[name] = offers[0].kind()
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or any(offer.name == name for offer in self.offers)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from sorted({offer.name for offer in self.offers} - self._own.keys())

    def __len__(self) -> int:
        return len(list(iter(self)))

    @cached_property
    def offers(self) -> list[Offer]:
        """Every offer of every installed package, those included that cannot be used, by name."""
        found = [
            Offer(entry.name, entry.dist.name, entry.dist.version, entry)
            for entry in entry_points(group=GROUP)
            if entry.dist is not None
        ]
        return sorted(found, key=lambda offer: (offer.name, offer.package))

    def fault(self, offer: Offer) -> str:
        """Why an offer cannot be used, in one line; "" when it can."""
        if offer.name in self._own:
            return f"{offer} is refused: cryolift has a driver of its own of that name"
        try:
            self[offer.name]
        except PluginError as error:
            return str(error)
        return ""
