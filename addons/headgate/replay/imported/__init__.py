"""Flows of other files, on their way into a capture: masked like everything in it, and never decided."""
