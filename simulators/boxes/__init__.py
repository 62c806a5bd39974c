"""The boxes: a server for each device, which turns its bytes into what the world does, and what all of them share."""
