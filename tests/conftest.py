"""What all tests have in common: property tests try the same examples each time, for however long the machine takes."""

from hypothesis import settings

settings.register_profile("headgate", deadline=None, derandomize=True)
settings.load_profile("headgate")
