"""Flows taken out of a capture for the test suite: masked once more, and the same bytes for the same content."""
