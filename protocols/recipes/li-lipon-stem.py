"""A lamella of Li/LiPON, from lattice images to a composition: what is spoilt first is looked at first.

Copy this file and change what stands in capitals. The order is planned from the budgets: everything at one high
tension; lattice images before anything else on their places, as long as `lattice` lasts; then X-rays elsewhere along
the same interface, until the ramps are known well enough or `interface` is used up; phases last, without a beam.
"""

from acquisition.engine import Run
from physics.units import parse
from protocols.steps.calibrate import Calibrate
from protocols.steps.cooling import CoolDown
from protocols.steps.diffraction import DiffractionMap
from protocols.steps.edge_on import MakeEdgeOn
from protocols.steps.eds import EdsMap
from protocols.steps.hrtem import Hrtem
from protocols.steps.interface import FindInterface
from protocols.steps.line import EdsLine
from protocols.steps.phase_map import PhaseMapStep

NAME = "Li/LiPON: lattice images, then composition, of one lamella"
SAMPLE = "wafer-7/lamella-2"
ELEMENTS = ("Li", "P", "O", "N")
BUDGETS = {
    "lattice": {"limit": "9e2 e/A^2"},  # Li3PO4 has lost half of its lattice at 2e3 (assumed)
    "interface": {"notify": "1.1e4 e/A^2", "limit": "1.3e4 e/A^2"},
    "beside": {"limit": "1e4 e/A^2"},  # the same interface, given up to diffraction patterns
    "focus": {"limit": "1e4 e/A^2"},  # thin electrolyte, given up to find the focus
    "standard": {"limit": "1e6 e/A^2"},  # the copper beside the film, given up to calibrations
}
LOOK = "2 e/A^2"  # to find the interface
LATTICE = "300 e/A^2"  # a lattice image
UNDERFOCUS = "48 nm"  # of lattice images: no spacing of Li2O, Li3N and Li3PO4 lies in a gap of the transfer
FAR_OFF = "300 nm"  # where the rings of the electrolyte are close enough to tell the focus
DIFFRACTION = "1e3 e/A^2"  # a map of diffraction patterns
X_RAYS = "1e4 e/A^2"  # a map of elements, at most
BOUND = 1.3  # what the ledger charges over what is planned, at most


def recipe(run: Run) -> None:
    """Cold first, beam-sensitive next, and what needs no beam last."""
    run.do(CoolDown(to="100 K", ramp="10 K/min", hold="20 min"))
    see_edge_on(run)
    lattice_images(run)
    run.do(FindInterface(of="beside", dose=LOOK))
    run.do(DiffractionMap(of="beside", field="160 nm", pixels=(64, 64), dose=DIFFRACTION))
    composition(run)
    run.do(PhaseMapStep())


def see_edge_on(run: Run) -> None:
    """Tilt the interface into the beam on the sharp edge of the standard, and measure the probe there."""
    run.do(FindInterface(of="interface", dose=LOOK))
    run.do(FindInterface(of="standard", dose="50 e/A^2", field="150 nm"))
    run.do(MakeEdgeOn(on="standard", dose="4e3 e/A^2", field="60 nm", pixels=(112, 800), tilts=13))
    run.do(Calibrate(what="probe", on="standard", dose="2e3 e/A^2", required=False))


def lattice_images(run: Run) -> None:
    """As many frames on two fresh places as the budget has; the first is what counts, the last shows what faded."""
    frames = min(int(left("lattice", LOOK) / (BOUND * parse(LATTICE, "fluence"))), 10)
    if frames < 1:
        run.note("no lattice images: the budget of `lattice` holds none")
        return
    run.do(Hrtem(of="standard", dose=LATTICE, at=("80 nm", "0 nm"), fresh="1e6 e/A^2"))
    run.do(Calibrate(what="pixel", on="standard", from_="hrtem", required=False))
    run.do(Hrtem(of="focus", dose=LATTICE, defocus=FAR_OFF, pixels=2048))
    focus = run.do(Calibrate(what="defocus", on="focus", from_="hrtem", required=False))
    off = focus.get("calibrations", {}).get("defocus_offset", {"value": 0.0})["value"] * 1e-9
    run.do(FindInterface(of="lattice", dose=LOOK))
    run.do(Hrtem(of="lattice", dose=LATTICE, frames=frames, places=2, defocus=parse(UNDERFOCUS, "length") - off))


def composition(run: Run) -> None:
    """A map where no lattice image was taken, as deep as the budget allows; no image follows it there."""
    dose = min(parse(X_RAYS, "fluence"), left("interface", LOOK, LOOK) / BOUND)
    run.do(FindInterface(of="interface", dose=LOOK))
    run.do(
        EdsMap(
            of="interface",
            elements=("P", "N", "O"),
            dose=dose,
            passes=40,
            field="380 nm",
            pixels=(192, 288),
            target={"P": "1.5 nm", "N": "4 nm"},
        )
    )
    run.do(EdsLine(from_="eds_map", across="interface"))


def left(area: str, *spent: str) -> float:
    """What a budget leaves after some doses at their highest, m^-2."""
    return parse(BUDGETS[area]["limit"], "fluence") - sum(BOUND * parse(dose, "fluence") for dose in spent)
