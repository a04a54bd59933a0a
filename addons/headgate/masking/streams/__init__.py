"""Masking of what has no end yet: event streams, lines of JSON, text as it is written, messages of a WebSocket."""

from headgate.masking.streams.opening import Stream, open_stream, streamable
from headgate.masking.streams.reach import prepare
from headgate.masking.streams.socket import SocketStream, open_socket

__all__ = ["SocketStream", "Stream", "open_socket", "open_stream", "prepare", "streamable"]
