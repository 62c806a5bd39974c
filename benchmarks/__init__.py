"""Figures of speed and size, each as a ratio to a named peer or limit measured or stated in the same run."""
