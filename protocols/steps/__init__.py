"""What a recipe can do: one module a kind of step, and the registry of their names."""
