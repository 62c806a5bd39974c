"""What is physically there: one world, and a server per device that turns bytes into it.

world.py puts the rooms together: sample/ what is there, stages/ what holds and cools it, beam/ and lattice/ what a TEM
does to it and sees of it, fibsem/ the instrument that cut it. On top boxes/ speaks for each device, and serve/ opens
real ports for them. Numbers are in data/, shipped samples in samples/.
"""
