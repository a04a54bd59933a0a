"""Who is calling: tokens verified against pinned keys, and requests that only one reading fits."""
