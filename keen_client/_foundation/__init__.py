"""Floor 0: the clock, chance, files and locks, behind seams.

Nothing here knows Keen; everything above reaches the machine through it, so
that a test can put a seeded, simulated machine in its place.
"""
