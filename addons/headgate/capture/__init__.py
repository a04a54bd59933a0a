"""What is kept: every flow, masked before it is written, in one SQLite file that ordinary tools read."""
