"""What recordings are found by: their keys and places, on disk while they are replayed."""
