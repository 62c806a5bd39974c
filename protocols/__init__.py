"""What we do to the sample: recipes, steps, the rig they run on, and the command line."""
