"""The tree is that of RFC 6962: against known roots, against its definition, and against proofs made wrong."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.audit.merkle import (
    EMPTY,
    Frontier,
    consistency_proof,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
)

KNOWN = {
    "": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "00": "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "10": "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "2021": "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "3031": "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "40414243": "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "5051525354555657": "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "606162636465666768696a6b6c6d6e6f": "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
"""Leaves of the tests of the certificate-transparency project, and the root once each has been added."""

SIZES = st.integers(1, 70)


def leaves(count):
    return [leaf_hash(bytes([n])) for n in range(count)]


def defined(hashes):
    """MTH of RFC 6962, section 2.1, word for word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(defined(hashes[:split]), defined(hashes[split:]))


def test_known_roots_come_out_entry_by_entry():
    tree = Frontier()
    assert tree.root() == EMPTY == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    for data, known in KNOWN.items():
        tree.extend([leaf_hash(bytes.fromhex(data))])
        assert tree.root().hex() == known


def test_a_leaf_is_never_a_node():
    left, right = leaves(2)
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_entries_may_come_in_groups_of_any_size_and_be_stored_in_between(groups):
    hashes, tree = leaves(sum(groups) % 256 or 1), Frontier()
    at = 0
    for group in groups:
        tree.extend(hashes[at : at + group])
        at = min(at + group, len(hashes))
        tree = Frontier(tree.size, tree.packed())
        assert (tree.size, tree.root()) == (at, defined(hashes[:at]))


@given(SIZES, st.integers(0, 69))
def test_a_proof_of_inclusion_holds_for_its_leaf_and_place_alone(size, index):
    hashes, index = leaves(size), index % size
    top, proof = root(hashes), inclusion_proof(leaves(size), index)
    assert includes(top, size, hashes[index], index, proof)
    assert not includes(top, size, leaf_hash(b"another"), index, proof)
    assert not includes(leaf_hash(b"another"), size, hashes[index], index, proof)
    assert not any(includes(top, size, hashes[index], other, proof) for other in range(size) if other != index)
    assert not includes(top, size, hashes[index], index, [*proof, top])
    assert not (proof and includes(top, size, hashes[index], index, proof[:-1]))
    assert not includes(top, size, hashes[index], size, proof)


@given(SIZES, SIZES)
def test_a_proof_of_consistency_holds_for_what_was_there_before_alone(one, other):
    old, new = sorted((one, other))
    hashes = leaves(new)
    before, after = root(hashes[:old]), root(hashes)
    proof = consistency_proof(hashes, old)
    assert extends(before, old, after, new, proof)
    rewritten = root([leaf_hash(b"rewritten"), *hashes[1:]])
    assert not extends(before, old, rewritten, new, proof)
    assert not extends(leaf_hash(b"another"), old, after, new, proof)
    assert not extends(before, old, after, new, [*proof, after])
    assert not (proof and extends(before, old, after, new, proof[:-1]))
    assert not (old < new and extends(before, old, after, new, []))
    assert not extends(after, new + 1, after, new, proof)


@pytest.mark.parametrize(("size", "packed"), [(1, b""), (3, bytes(32)), (0, bytes(32)), (-1, b""), (2, bytes(31))])
def test_what_cannot_be_a_frontier_is_refused(size, packed):
    with pytest.raises(ValueError, match="not a frontier"):
        Frontier(size, packed)


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_is_made_for_what_is_not_there(index):
    with pytest.raises(ValueError, match="no such"):
        inclusion_proof(leaves(3), index)
    with pytest.raises(ValueError, match="no such"):
        consistency_proof(leaves(3), index + 1 if index > 0 else 0)
