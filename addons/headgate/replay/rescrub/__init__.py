"""What older rules let into a capture, masked again under others."""

from headgate.replay.rescrub.run import Outcome, Rescrub

__all__ = ["Outcome", "Rescrub"]
