"""Notes and checkpoints: as others write them, and nothing but a `NoteError` for whatever is none."""

import base64
import json
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from headgate.audit.checkpoint import Checkpoint, claimed, notes_in, read, signed
from headgate.audit.note import NoteError, parse, read_verifier, sign, verifier_of, verify

# From the tests of golang.org/x/mod/sumdb/note, which the specification describes.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    TEXT + "\n\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
ORIGIN = "headgate.local/0123456789abcdef"
VERIFIER = verifier_of(ORIGIN, KEY.public_key())
POINT = Checkpoint(ORIGIN, 42, bytes(range(32)))


def test_a_note_of_the_go_tools_is_read_and_made_byte_for_byte():
    verifier = read_verifier(PETER)
    assert str(verifier) == PETER
    assert verify(parse(NOTE), verifier)
    assert sign(TEXT, "PeterNeumann", Ed25519PrivateKey.from_private_bytes(SEED)) == NOTE


def test_a_checkpoint_is_three_lines_and_a_signature():
    note = signed(POINT, KEY)
    assert note.split("\n")[:4] == [ORIGIN, "42", base64.b64encode(POINT.root).decode(), ""]
    assert note.split("\n")[4].startswith(f"\N{EM DASH} {ORIGIN} ")
    assert read(note, VERIFIER) == POINT


@given(st.integers(0, len(signed(POINT, KEY).encode()) - 1), st.integers(1, 255))
def test_a_checkpoint_with_any_byte_changed_is_refused(at, change):
    note = bytearray(signed(POINT, KEY).encode())
    note[at] ^= change
    with pytest.raises(NoteError):
        read(bytes(note), VERIFIER)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_whatever_is_no_note_is_one_kind_of_error(garbage):
    for call in (parse, lambda text: read(text, VERIFIER)):
        with pytest.raises(NoteError):
            call(garbage)


PIECES = [
    ORIGIN, "42", "-1", "007", "9" * 30, "", "\n", "\n\n", "\N{EM DASH} ", " ", "=", "AAAA",
    base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(68)).decode(), "\ud800", "\r", "\0", "+",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_what_is_nearly_a_note_raises_nothing_else(text):
    with suppress(NoteError):
        claimed(parse(text))
    with suppress(NoteError):
        read_verifier(text)
    list(notes_in([text]))


def test_signatures_of_others_do_not_disturb_and_do_not_count():
    note = signed(POINT, KEY)
    witness = sign("anything\n", "witness", OTHER).split("\n\n")[1]
    assert read(note + witness, VERIFIER) == POINT
    text = note.partition("\n\n")[0] + "\n\n"
    with pytest.raises(NoteError, match="another key"):
        read(text + witness, VERIFIER)


def test_a_key_of_the_same_name_is_not_the_same_key():
    with pytest.raises(NoteError, match="another key"):
        read(signed(POINT, OTHER), VERIFIER)


def test_a_checkpoint_of_another_log_is_not_one_of_this():
    other = Checkpoint("headgate.local/other", 42, POINT.root)
    with pytest.raises(NoteError, match="another log"):
        read(signed(other, KEY), VERIFIER)


def test_lines_after_the_third_are_signed_and_passed_over():
    text = signed(POINT, KEY).partition("\n\n")[0] + "\nwitnessed 12\n"
    assert read(sign(text, ORIGIN, KEY), VERIFIER) == POINT


@pytest.mark.parametrize("size", ["042", "+42", "-1", "", "4 2", "\N{ARABIC-INDIC DIGIT FOUR}", "1" * 20])
def test_a_size_has_one_spelling(size):
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(POINT.root).decode()}\n"
    with pytest.raises(NoteError):
        read(sign(text, ORIGIN, KEY), VERIFIER)


@pytest.mark.parametrize("root", ["", "AAAA", base64.b64encode(bytes(31)).decode(), "A" * 43, "-" * 44])
def test_a_root_is_32_bytes(root):
    with pytest.raises(NoteError):
        read(sign(f"{ORIGIN}\n42\n{root}\n", ORIGIN, KEY), VERIFIER)


@pytest.mark.parametrize(
    "line", ["", "a+b", "a b+c74f20a3+AA==", PETER.replace("c74f", "c74e"), PETER[:-4] + "AAAA", PETER + "\n" + PETER]
)
def test_what_is_no_key_is_refused(line):
    with pytest.raises(NoteError):
        read_verifier(line)


@pytest.mark.parametrize("text", ["", "no line feed", "a\tb\n", "a\rb\n", "a\0b\n", "\ud800\n"])
def test_only_text_in_lines_is_signed(text):
    with pytest.raises(NoteError):
        sign(text, ORIGIN, KEY)


@pytest.mark.parametrize("name", ["", "with space", "with+plus", "with\nline", "x" * 201])
def test_a_name_can_stand_in_a_signature(name):
    with pytest.raises(NoteError):
        verifier_of(name, KEY.public_key())


# -- where notes are kept ---------------------------------------------------------------------------------------------


def test_notes_are_found_one_after_the_other_and_in_objects_of_lines():
    one, two, three = (signed(Checkpoint(ORIGIN, size, POINT.root), KEY) for size in (1, 2, 3))
    line = '{"kind": "checkpoint", "note": ' + json.dumps(two) + "}"
    inner = '<134>1 2027-01-15 host headgate - - - {"event": {"note": ' + json.dumps(three) + "}}"
    text = f"not a note\n\n{one}{one}\n\nsomething\n{line}\n{inner}\n" + '{"kind": "act", "note": 7}\n{broken\n' + one
    for pieces in ([text], text.split("\n"), text.splitlines(keepends=True)):
        assert [read(note, VERIFIER).size for note in notes_in(pieces)] == [1, 1, 2, 3, 1]


@given(st.text(alphabet='a\n{}"\\ \N{EM DASH}', max_size=60))
def test_looking_for_notes_in_anything_raises_nothing(text):
    for note in notes_in([text]):
        assert "\n\n\N{EM DASH} " in note
