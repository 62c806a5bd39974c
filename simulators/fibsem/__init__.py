"""The FIB-SEM: one flat piece under an electron and an ion beam that look at it and cut into it."""
