"""What is physically there: one world, and a server per device that turns bytes into it."""
