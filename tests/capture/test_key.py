"""The key is made once, whole, for its owner only."""

import pytest

from headgate.capture.key import keep_key, keyed, load_key
from headgate.errors import HeadgateError


def test_a_key_is_made_once_and_then_kept(tmp_path):
    first = load_key(tmp_path, lambda size: b"a" * size)
    assert load_key(tmp_path, lambda size: b"b" * size) == first == b"a" * 32
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["capture.key"]


def test_a_key_that_another_process_made_meanwhile_stays(tmp_path, monkeypatch):
    keep_key(tmp_path, b"a" * 32)
    monkeypatch.setattr("pathlib.Path.exists", lambda _path: False)
    keep_key(tmp_path, b"b" * 32)
    assert load_key(tmp_path, lambda size: b"c" * size) == b"a" * 32


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 33, "\u00e9" * 64])
def test_anything_but_64_hexadecimal_digits_is_refused_without_showing_it(text, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "capture.key").write_text(text, encoding="utf-8")
    with pytest.raises(HeadgateError, match="64 hexadecimal digits are accepted") as raised:
        load_key(tmp_path, lambda size: b"a" * size)
    assert not text or text not in str(raised.value)


def test_the_hash_is_hmac_sha256():
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert keyed(b"Jefe", b"what do ya want for nothing?") == expected
