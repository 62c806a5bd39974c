"""What the sample is: its file, the film, the slab cut out of it, its crystals one by one, the dose it received."""
