"""A capture in pages that several processes can share out."""
