"""What is found in one value: Presidio's findings, the fast way to them, credentials, and the profile that filters."""
