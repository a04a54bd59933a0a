"""What is done to a capture beside writing it: old flows go, and an index for full-text search is kept."""
