"""The beam of the TEM: where it goes, what it does to the lamella, and what each detector gets of it."""
