"""What we say to a box: links, wires, drivers, limits and interlocks."""
