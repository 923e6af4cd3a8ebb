"""Decisions. Pure functions of journeys, customer, event and time: no I/O, no clock, no randomness, no environment.

Start reading in `decide.py` (every verb), then `steps.py` (one function per step kind).
"""
