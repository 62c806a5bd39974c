"""Lattice images: what a parallel beam and the objective lens make of a scene of crystals and glass."""
