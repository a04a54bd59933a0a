"""Which entries of a capture may be wanted, found by what SQLite can answer."""
