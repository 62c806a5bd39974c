"""The steps a recipe may name."""

from protocols.steps.base import Step
from protocols.steps.calibrate import Calibrate
from protocols.steps.cooling import CoolDown, Wait
from protocols.steps.diffraction import DiffractionMap
from protocols.steps.edge_on import MakeEdgeOn
from protocols.steps.eds import EdsMap
from protocols.steps.hrtem import Hrtem
from protocols.steps.interface import FindInterface
from protocols.steps.line import EdsLine
from protocols.steps.phase_map import PhaseMapStep
from protocols.steps.scanning import Focus, MoveStage, StemImage

STEPS: dict[str, type[Step]] = {
    "cool_down": CoolDown,
    "wait": Wait,
    "move_stage": MoveStage,
    "focus": Focus,
    "stem_image": StemImage,
    "find_interface": FindInterface,
    "make_edge_on": MakeEdgeOn,
    "calibrate": Calibrate,
    "hrtem": Hrtem,
    "diffraction_map": DiffractionMap,
    "eds_map": EdsMap,
    "eds_line": EdsLine,
    "phase_map": PhaseMapStep,
}
