"""Floor 1: what an event is — its limits, its encoding, its identity and its stamps.

Frozen values and pure functions; no clock, no disk, no network.
"""
