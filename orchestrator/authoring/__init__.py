"""Journeys as authors write them -> checked, compiled journeys; scenarios, simulation and graphs of them.

Start reading in `compiler.py`: sources -> nodes with positions -> drafts -> checks -> `JourneySet`.
"""
