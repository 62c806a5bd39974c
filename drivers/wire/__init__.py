"""Bytes of every device, both directions in one module: pure codecs, no clock and no socket."""
