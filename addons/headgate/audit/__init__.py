"""That nobody altered what was decided: a Merkle log of every decision and its outcome, with signed checkpoints."""
