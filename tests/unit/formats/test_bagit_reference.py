"""Bags beside the reference implementation, and within bounds."""

import io
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bags import Bag, made, old, sha512, theirs
from vault.formats.bag_tags import tag_lines
from vault.formats.bagit import validate_bag

# -- agreement with the reference implementation, and bounds

MANIFEST = "manifest-sha512.txt"
SEED = old(made({"a": b"1", "b/c": b"22"}), "1.0")


def _spoil_byte(files: dict[str, bytes], path: str, place: int, value: int) -> dict[str, bytes]:
    data = bytearray(files[path])
    if data:
        data[place % len(data)] = value
    return files | {path: bytes(data)}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(SEED)),
    st.sampled_from(["remove", "byte", "add payload", "add tag file", "empty", "line"]),
    st.integers(0, 2000),
    st.integers(0, 255),
)
def test_mutated_bags_get_the_verdict_of_the_reference(tmp_path_factory, path, how, place, value):
    if how == "remove":
        files = {name: data for name, data in SEED.items() if name != path}
    elif how == "byte":
        files = _spoil_byte(SEED, path, place, value)
    elif how == "add payload":
        files = SEED | {f"data/new-{place}": b""}
    elif how == "add tag file":
        files = SEED | {f"new-{place}.md": b""}
    elif how == "empty":
        files = SEED | {path: b""}
    else:
        lines = SEED[path].splitlines(keepends=True)
        files = SEED | {path: b"".join(lines[: place % (len(lines) + 1)])}
    ours = validate_bag(Bag(files))
    reference = theirs(files, tmp_path_factory.mktemp("bag"))
    if ours.valid:
        assert reference
    elif reference:
        # Where the RFC says MUST and the reference looks away.
        assert {fault.code for fault in ours.faults} <= {
            "manifest-not-listed",
            "declaration-malformed",
            "tagmanifest-lists-tagmanifest",
            "manifest-malformed",
        }


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(SEED)), st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4
    ),
    st.sampled_from(["UTF-8", "UTF-16", "ISO-8859-1", "Shift_JIS"]),
)
def test_no_bag_raises(changes, encoding):
    files = SEED | {"bagit.txt": SEED["bagit.txt"].replace(b"UTF-8", encoding.encode())}
    for path, place, value in changes:
        files = _spoil_byte(files, path, place, value)
    for fault in validate_bag(Bag(files)).faults:
        fault.message.encode()
        fault.path.encode()


@given(st.binary(max_size=200), st.integers(1, 5), st.sampled_from(["utf-8", "utf-16", "iso8859-1"]))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data, size, codec):
    class Dribble:
        def __init__(self):
            self.data = io.BytesIO(data)

        def read(self, _wanted):
            return self.data.read(size)

    def lines(stream):
        found = []
        try:
            found.extend(tag_lines(stream, codec, max_bytes=1000))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
            return type(error).__name__
        return found

    assert lines(Dribble()) == lines(io.BytesIO(data))


def test_a_large_manifest_is_read_line_by_line():
    class Large(Bag):
        """A manifest of 8 MB that names one file over and over."""

        def __init__(self):
            super().__init__(old(made({"a": b""})))
            self.line = sha512(b"") + b"  data/a\n"
            self.count = 60_000

        def paths(self):
            return super().paths() | {MANIFEST: self.count * len(self.line)}

        def open(self, path):
            if path != MANIFEST:
                return super().open(path)
            line, count = self.line, self.count

            class Lines(io.RawIOBase):
                def read(self, size=-1):
                    nonlocal count
                    take = min(count, size // len(line))
                    count -= take
                    return line * take

            return Lines()

        def digest(self, path, algorithms):
            return {"sha512": sha512(self.files[path]).decode()}

    bag = Large()
    tracemalloc.start()
    report = validate_bag(bag)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.more_warnings > 58_000
    assert peak < 3_000_000


def test_a_manifest_beyond_its_limit_is_not_even_opened():
    class Huge(Bag):
        def paths(self):
            return super().paths() | {MANIFEST: 2**40, "bag-info.txt": 2**30}

        def open(self, path):
            assert path not in {MANIFEST, "bag-info.txt"}
            return super().open(path)

    report = validate_bag(Huge(made()))
    assert [fault.path for fault in report.faults if fault.code == "tag-file-too-large"] == [MANIFEST, "bag-info.txt"]
