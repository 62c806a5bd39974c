"""All benchmarks, or those that are named: `python -m benchmarks [NAME ...] [--bluesky PYTHON] [--abtem PYTHON]`."""

from __future__ import annotations

import argparse
import sys

# the whole run first: on Linux a child's peak memory is never below what its parent had when it began
NAMES = (
    "whole_run",
    "queries",
    "engine",
    "events",
    "eds_map",
    "quantification",
    "dark_field",
    "camera",
    "diffraction_map",
    "lattice_image",
    "phases",
)


def main() -> None:
    """Print one line of JSON a figure; what cannot be measured here is named on stderr, with the reason."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} [default: all]")
    parser.add_argument("--bluesky", default=sys.executable, metavar="PYTHON", help="an interpreter that has bluesky")
    parser.add_argument("--abtem", default=sys.executable, metavar="PYTHON", help="an interpreter that has abTEM")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in asked.names or NAMES:
        _run(name, asked.bluesky, asked.abtem)


def _run(name: str, bluesky: str, abtem: str) -> None:
    # each imported only when its turn comes, so that the first starts from a small process
    match name:
        case "whole_run":
            from benchmarks import whole_run

            whole_run.main()
        case "queries":
            from benchmarks import queries

            queries.main()
        case "engine":
            from benchmarks import engine

            engine.main(bluesky=bluesky)
        case "events":
            from benchmarks import events

            events.main()
        case "eds_map":
            from benchmarks import eds_map

            eds_map.main()
        case "quantification":
            from benchmarks import quantification

            quantification.main()
        case "dark_field":
            from benchmarks import dark_field

            dark_field.main()
        case "camera":
            from benchmarks import camera

            camera.main()
        case "diffraction_map":
            from benchmarks import diffraction_map

            diffraction_map.main()
        case "lattice_image":
            from benchmarks import lattice_image

            lattice_image.main(abtem=abtem)
        case "phases":
            from benchmarks import phases

            phases.main()


if __name__ == "__main__":
    main()
