"""Of what differs, `make changed` builds what has something to stand on."""

import pytest

from orchestration.commands.changed import without_ground

pytestmark = pytest.mark.fast

# raw_a <- typed_a <- a, raw_b <- typed_b <- b; both, and a test, read a and b.
PARENTS = {
    "raw_a": [], "typed_a": ["raw_a", "seed"], "a": ["typed_a"],
    "raw_b": [], "typed_b": ["raw_b", "seed"], "b": ["typed_b"],
    "seed": [], "both": ["a", "b"], "test": ["both"],
}  # fmt: skip
MANIFEST = {"nodes": {key: {"depends_on": {"nodes": parents}} for key, parents in PARENTS.items()}, "unit_tests": {}}


@pytest.mark.parametrize(
    ("wanted", "missing", "left_out", "lacking"),
    [
        # All is there, or is built itself.
        ("typed_a a typed_b b seed both test", "", "", ""),
        ("raw_b typed_b b seed both test", "raw_b typed_b b", "", ""),
        # b was never loaded: it is left out with what reads it, and its raw table is named alone.
        ("typed_a a typed_b b seed both test", "raw_b typed_b b both", "typed_b b both test", "raw_b"),
        # What differs stands in the middle.
        ("b both", "raw_b typed_b b", "b both", "typed_b"),
        ("a b", "raw_a typed_a a raw_b typed_b b", "a b", "typed_a typed_b"),
    ],
)
def test_what_reads_something_that_is_nowhere_is_left_out(wanted, missing, left_out, lacking) -> None:
    found = without_ground(set(wanted.split()), set(missing.split()), MANIFEST)
    assert found == (set(left_out.split()), set(lacking.split()))
