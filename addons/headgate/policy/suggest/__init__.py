"""Rules that would allow what was seen: from captured traffic of an observed target to a policy that can be enforced.

Requests are grouped by target, path template, method and callers (`sightings.py`); each group that was answered well
becomes a rule (`proposals.py`) with tests (`checks.py`) that is put through the same compiler as any other; what comes
out is YAML to be read and pasted (`written.py`). Nothing here reads a capture: it is given what was seen.
"""
