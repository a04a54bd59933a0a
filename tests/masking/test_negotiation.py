"""Requests whose responses are masked ask for a whole response in a coding that can be undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.masking.negotiation import narrowed

KNOWN = {b"gzip", b"br", b"zstd", b"deflate", b"identity"}
tokens = st.sampled_from(["gzip", "br", "zstd", "deflate", "identity", "compress", "dcb", "hex", "*", "GZIP", ""])
weights = st.sampled_from(["", ";q=0", "; q=0.5", ";q=1.000", ";x"])
values = st.lists(st.builds("{}{}".format, tokens, weights)).map(",".join).map(str.encode)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ([], b"identity"),
        ([b"gzip"], b"gzip"),
        ([b"gzip;q=0.5, compress, br"], b"gzip;q=0.5, br"),
        ([b"gzip", b"zstd"], b"gzip, zstd"),
        ([b"compress"], b"identity"),
        ([b"*"], b"identity"),
        ([b"*;q=0, identity"], b"identity"),
        ([b"identity;q=0, gzip"], b"identity;q=0, gzip"),
        ([b"GZip"], b"gzip"),
    ],
)
def test_only_codings_that_can_be_undone_are_asked_for(asked: list[bytes], sent: bytes) -> None:
    headers = tuple((b"accept-encoding", value) for value in asked)
    assert narrowed("GET", headers) == ((b"Accept-Encoding", sent),)


@given(st.lists(values))
def test_whatever_is_asked_for(asked: list[bytes]) -> None:
    ((_, sent),) = narrowed("GET", tuple((b"Accept-Encoding", value) for value in asked))
    assert {coding.partition(b";")[0] for coding in sent.split(b", ")} <= KNOWN


@pytest.mark.parametrize("name", [b"Range", b"If-Range", b"if-none-match", b"If-Modified-Since"])
def test_a_read_asks_for_all_of_it_and_a_write_keeps_its_conditions(name: bytes) -> None:
    headers = ((b"X-A", b"1"), (name, b"x"), (b"If-Match", b"y"))
    whole = ((b"X-A", b"1"), (b"If-Match", b"y"), (b"Accept-Encoding", b"identity"))
    assert narrowed("GET", headers) == narrowed("HEAD", headers) == whole
    assert narrowed("PUT", headers) == (*headers, (b"Accept-Encoding", b"identity"))
