"""The rules folder: read, validated, compiled into one immutable Bundle, and followed while the proxy runs."""
