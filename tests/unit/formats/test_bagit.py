"""Bags: the Library of Congress's bagit agrees with us, and every fault is listed."""

import hashlib
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bags import PAYLOAD, Bag, codes, made, old, sha512, signed, theirs, warned
from tests.support.marks import MARKS, at_once
from vault.errors import Invalid
from vault.formats.bag_tags import MAX_LINE
from vault.formats.bag_writer import bag_manifests
from vault.formats.bagit import decode_path, encode_path, find_bag_root, validate_bag

# -- what we make


def test_what_we_write_is_valid_for_us_and_for_others(tmp_path):
    info = (
        ("Source-Organization", "Kho lưu trữ lịch sử\ntỉnh Sơn La"),
        ("Contact-Name", "Lò Văn A"),
        ("Contact-Name", "B"),
    )
    files = made(info=info)
    report = validate_bag(Bag(files))
    assert report.faults == report.warnings == ()
    assert (report.version, report.encoding) == ("1.0", "UTF-8")
    assert (report.payload_files, report.payload_bytes, report.tag_files) == (3, 405, 4)
    assert report.payload_algorithms == report.tag_algorithms == ("sha512",)
    assert report.bag_info == (*info, ("Payload-Oxum", "405.3"))
    assert report.valid
    report.require_valid()
    assert theirs(files, tmp_path)


def test_the_same_folder_gives_the_same_bag():
    assert made() == made(dict(reversed(PAYLOAD.items())))


def test_an_empty_payload_is_a_bag(tmp_path):
    assert codes(made({}), ("data",)) == set()
    assert theirs(made({}), tmp_path)
    assert codes(made({})) == {"no-payload-directory"}


def test_line_ends_and_percent_signs_in_names_survive(tmp_path):
    odd = {"line\nfeed": b"1", "carriage\rreturn": b"2", "both\r\n": b"3", "100%": b"4", "%0A": b"5", "a%25b": b"6"}
    files = made(odd)
    assert files["manifest-sha512.txt"].count(b"\n") == 6
    report = validate_bag(Bag(files))
    assert report.faults == report.warnings == ()
    # The reference implementation knows nothing of %25, so only the line ends can be put to it.
    plain = made({name: data for name, data in odd.items() if "%" not in name})
    assert theirs(plain, tmp_path)


@given(st.text(st.characters(codec="utf-8")))
def test_path_encoding_is_reversible(path):
    encoded = encode_path(path)
    assert decode_path(encoded) == path
    assert not {"\n", "\r"} & set(encoded)


@pytest.mark.parametrize("label", ["", " x", "x ", "a:b", "a\nb", "Payload-Oxum", "PAYLOAD-OXUM"])
def test_labels_that_cannot_be_written_are_refused(label):
    with pytest.raises(ValueError, match="label"):
        bag_manifests([], [(label, "x")])


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=30),
        st.binary(max_size=100),
        max_size=5,
    ),
    st.lists(
        st.tuples(
            st.from_regex(r"[A-Za-zĐđ][A-Za-z -]{0,10}[a-z]", fullmatch=True).filter(
                lambda label: label.lower() != "payload-oxum"
            ),
            st.text(st.characters(codec="utf-8")),
        ),
        max_size=4,
    ),
)
def test_whatever_we_write_is_valid(payload, info):
    report = validate_bag(Bag(made({f"d/{name}": data for name, data in payload.items()}, info), ("data",)))
    assert report.faults == ()
    assert [label for label, _ in report.bag_info] == [*(label for label, _ in info), "Payload-Oxum"]


# -- faults


def test_every_fault_is_listed_with_its_path():
    files = made()
    files["data/a.txt"] = b"other"
    files["data/extra"] = b"?"
    del files["data/zero"]
    report = validate_bag(Bag(files))
    found = {(fault.code, fault.path) for fault in report.faults}
    assert found == {
        ("checksum-mismatch", "data/a.txt"),
        ("payload-not-listed", "data/extra"),
        ("file-missing", "data/zero"),
        ("payload-oxum-mismatch", "bag-info.txt"),
    }
    with pytest.raises(Invalid) as caught:
        report.require_valid()
    assert caught.value.faults == report.faults
    assert "4 faults" in str(caught.value)


def test_faults_are_counted_beyond_the_first_thousand():
    files = made() | {f"data/extra/{number}": b"" for number in range(2500)}
    report = validate_bag(Bag(files))
    assert len(report.faults) == 1000
    assert report.more_faults == 2501 - 1000


@pytest.mark.parametrize(
    ("declaration", "code"),
    [
        (b"\xef\xbb\xbfBagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", "declaration-bom"),
        (b"BagIt-Version: 1.0\n", "declaration-malformed"),
        (b"Tag-File-Character-Encoding: UTF-8\n", "declaration-malformed"),
        (b"Tag-File-Character-Encoding: UTF-8\nBagIt-Version: 1.0\n", "declaration-malformed"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n\n", "declaration-malformed"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\nX: y\n", "declaration-malformed"),
        (b"BagIt-Version : 1.0\nTag-File-Character-Encoding : UTF-8\n", "declaration-malformed"),
        (b"BagIt-Version:1.0\nTag-File-Character-Encoding:  UTF-8\n", "declaration-malformed"),
        (b"BagIt-Version: 1\nTag-File-Character-Encoding: UTF-8\n", "declaration-malformed"),
        (b"BagIt-Version: 1.1\nTag-File-Character-Encoding: UTF-8\n", "bagit-version"),
        (b"BagIt-Version: 2.0\nTag-File-Character-Encoding: UTF-8\n", "bagit-version"),
        (b"BagIt-Version: 0.92\nTag-File-Character-Encoding: UTF-8\n", "bagit-version"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: rot13\n", "tag-encoding"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: zlib\n", "tag-encoding"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: TCVN3\n", "tag-encoding"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: ../x\n", "tag-encoding"),
        (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8 \xff\n", "declaration-malformed"),
        (b"", "declaration-malformed"),
        (b"B" * 5000, "declaration-malformed"),
    ],
)
def test_declarations_that_are_none(declaration, code):
    assert code in codes(signed(made() | {"bagit.txt": declaration}))


def test_line_ends_of_all_kinds_in_all_tag_files(tmp_path):
    for end in (b"\r", b"\r\n", b"\n"):
        files = {path: data if path.startswith("data/") else data.replace(b"\n", end) for path, data in made().items()}
        assert warned(signed(files)) == set()
    bare = {path: data if path.startswith("data/") else data.rstrip(b"\n") for path, data in made().items()}
    assert warned(signed(bare)) == set()


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-16BE", "UTF-16LE", "windows-1258", "GB18030"])
def test_the_declared_encoding_is_used(encoding):
    files = made({"tệp.txt".replace("ệ", "ê"): b"1"}, (("Source-Organization", "Cơ quan"),))
    for path in ("bag-info.txt", "manifest-sha512.txt"):
        files[path] = files[path].decode().encode(encoding)
    files["bagit.txt"] = files["bagit.txt"].replace(b"UTF-8", encoding.encode())
    files = signed(files)
    files["tagmanifest-sha512.txt"] = files["tagmanifest-sha512.txt"].decode().encode(encoding)
    report = validate_bag(Bag(files))
    assert report.faults == report.warnings == ()
    assert report.bag_info[0] == ("Source-Organization", "Cơ quan")


def test_utf16_without_its_mark_is_big_endian():
    files = made()
    for path in ("bag-info.txt", "manifest-sha512.txt"):
        files[path] = files[path].decode().encode("utf-16-be")
    files["bagit.txt"] = files["bagit.txt"].replace(b"UTF-8", b"UTF-16")
    del files["tagmanifest-sha512.txt"]
    assert warned(files) == set()


MANIFEST = "manifest-sha512.txt"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: b"\xef\xbb\xbf" + m, "tag-file-bom"),
        (lambda m: m + b"\xff\n", "tag-file-encoding"),
        (lambda m: m + m.splitlines(keepends=True)[0], "manifest-duplicate"),
        (lambda m: m + b"nonsense\n", "manifest-malformed"),
        (lambda m: m + b"xyz data/a.txt\n", "manifest-malformed"),
        (lambda m: m + b"# comment\n", "manifest-malformed"),
        (lambda m: b"abcd data/zero\n" + m.replace(b"data/zero", b"data/a.txt"), "manifest-digest-malformed"),
        (lambda m: m + sha512(b"") + b" data/../../etc/passwd\n", "manifest-path-escapes"),
        (lambda m: m + sha512(b"") + b" ../a\n", "manifest-path-escapes"),
        (lambda m: m + sha512(b"") + b" /etc/passwd\n", "manifest-path-escapes"),
        (lambda m: m + sha512(b"") + b" ~root/x\n", "manifest-path-escapes"),
        (lambda m: m + sha512(b"") + b" C:\\x\n", "manifest-path-escapes"),
        (lambda m: m + sha512(b"") + b" data\\x\n", "manifest-path-escapes"),
        (lambda m: m + sha512(b"") + b" bagit.txt\n", "manifest-outside-payload"),
        (lambda m: m + sha512(b"") + b" data\n", "manifest-outside-payload"),
        (lambda m: m + sha512(b"") + b" data/gone\n", "file-missing"),
        (lambda m: b"\n".join(m.split(b"\n")[1:]), "payload-not-listed"),
        (lambda m: m + b"a" * (MAX_LINE + 1), "tag-file-line-too-long"),
    ],
)
def test_manifests_that_are_wrong(change, code):
    files = made()
    assert code in codes(signed(files | {MANIFEST: change(files[MANIFEST])}))


def test_uppercase_digests_and_tabs_are_lawful():
    files = made()
    lines = [line.split("  ", 1) for line in files[MANIFEST].decode().splitlines()]
    files[MANIFEST] = "".join(f"{digest.upper()}\t {path}\n" for digest, path in lines).encode()
    assert warned(signed(files)) == set()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda m: m.replace(b"  data", b" *data"), "manifest-binary-marker"),
        (lambda m: m.replace(b"  data", b"  ./data"), "manifest-dot-slash"),
        (lambda m: m + b"\n", "manifest-blank-line"),
    ],
)
def test_habits_of_well_known_tools_are_warnings(change, warning, tmp_path):
    files = made()
    files = signed(files | {MANIFEST: change(files[MANIFEST])})
    assert warned(files) == {warning}
    assert theirs(files, tmp_path)


def test_a_manifest_with_other_accents_encoding_still_means_the_same_file():
    # As macOS writes it. The reference finds such a file only where the file system looks past the difference.
    files = made()
    decomposed = unicodedata.normalize("NFD", files[MANIFEST].decode()).encode()
    assert decomposed != files[MANIFEST]
    assert warned(signed(files | {MANIFEST: decomposed})) == {"manifest-normalisation"}
    two = made({"tệp": b"1", unicodedata.normalize("NFD", "tệp"): b"2"})
    third = sha512(b"1") + "  data/te\u0302\u0323p\n".encode()  # which of the two is meant?
    assert codes(signed(two | {MANIFEST: two[MANIFEST] + third})) == {"file-missing"}


def test_a_percent_sign_that_others_forgot_to_encode(tmp_path):
    bag = made({"100%": b"1", "a%25": b"2"})
    files = signed(bag | {MANIFEST: bag[MANIFEST].replace(b"%25", b"%")})
    assert warned(files) == {"manifest-percent"}
    assert theirs(files, tmp_path)


def test_two_manifests_and_who_must_list_what(tmp_path):
    files = made()
    md5 = "".join(f"{hashlib.md5(data).hexdigest()} data/{path}\n" for path, data in PAYLOAD.items())
    both = signed(files | {"manifest-md5.txt": md5.encode()}, "md5", "sha512")
    assert warned(both) == set()
    partial = both | {"manifest-md5.txt": md5.split("\n", 1)[1].encode()}
    assert codes(signed(partial)) == {"payload-not-listed"}
    assert warned(old(partial)) == set()  # before 1.0 one of them was enough
    assert theirs(old(partial), tmp_path)
    neither = partial | {MANIFEST: b"\n".join(line for line in files[MANIFEST].split(b"\n") if b"a.txt" not in line)}
    assert codes(old(neither)) == {"payload-not-listed"}


def test_algorithms():
    files = made()
    manifest = files.pop(MANIFEST)
    assert codes(signed(files)) == {"no-manifest"}
    assert codes(signed(files | {"manifest-crc32.txt": b""})) == {"manifest-algorithm"}
    assert warned(signed(files | {"manifest-SHA-512.txt": manifest})) == {"manifest-algorithm-name"}
    twice = files | {MANIFEST: manifest, "manifest-sha-512.txt": manifest}
    assert codes(signed(twice)) == {"manifest-repeated"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (sha512(b"") + b" tagmanifest-sha512.txt\n", "tagmanifest-lists-tagmanifest"),
        (sha512(b"") + b" tagmanifest-md5.txt\n", "tagmanifest-lists-tagmanifest"),
        (sha512(b"alpha") + b" data/a.txt\n", "tagmanifest-lists-payload"),
        (sha512(b"") + b" gone.txt\n", "file-missing"),
        (sha512(b"") + b" ../gone.txt\n", "manifest-path-escapes"),
        (sha512(b"") + b" bagit.txt\n", "checksum-mismatch"),
    ],
)
def test_tag_manifests_that_are_wrong(line, code):
    files = made()
    files["tagmanifest-sha512.txt"] += line
    assert code in codes(files)


def test_tag_manifests_protect_tag_files():
    files = made()
    files["bag-info.txt"] = files["bag-info.txt"].replace(b"Kho", b"Who")
    assert codes(files) == {"checksum-mismatch"}
    assert warned(made() | {"notes/readme": b""}) == {"tag-file-not-listed"}
    bare = made()
    bare["tagmanifest-sha512.txt"] = b""
    assert codes(bare) == {"manifest-not-listed"}


@pytest.mark.parametrize(
    ("info", "code"),
    [
        (b"Payload-Oxum: 405.3\nPAYLOAD-OXUM: 405.3\n", "payload-oxum-repeated"),
        (b"Payload-Oxum: 405\n", "payload-oxum-malformed"),
        (b"payload-oxum: -405.3\n", "payload-oxum-malformed"),
        (b"Payload-Oxum: 405.3.1\n", "payload-oxum-malformed"),
        (b"Payload-Oxum: 406.3\n", "payload-oxum-mismatch"),
        (b"Payload-Oxum: 405.4\n", "payload-oxum-mismatch"),
        (b"no colon\n", "bag-info-malformed"),
        (b": no label\n", "bag-info-malformed"),
        (b"  continues nothing\n", "bag-info-malformed"),
        (b"Label:value\n", "bag-info-malformed"),
        (b"Label : value\n", "bag-info-malformed"),
        (b"A: b\n" * 10_001, "bag-info-too-long"),
        (b"\xef\xbb\xbfA: b\n", "tag-file-bom"),
        (b"A: \xff\n", "tag-file-encoding"),
    ],
)
def test_bag_info_that_is_wrong(info, code):
    assert codes(signed(made() | {"bag-info.txt": info})) == {code}


def test_bag_info_keeps_order_repetition_and_continuation():
    info = b"B: 1\nA: first\n  second\n\tthird\r\nb: 2\rEmpty: \nColon: a: b\n"
    report = validate_bag(Bag(signed(made() | {"bag-info.txt": info})))
    assert report.faults == ()
    assert report.bag_info == (
        ("B", "1"),
        ("A", "first\nsecond\nthird"),
        ("b", "2"),
        ("Empty", ""),
        ("Colon", "a: b"),
    )


def test_what_earlier_versions_allowed(tmp_path):
    files = made()
    assert warned(old(files)) == set()
    loose = old(files | {"bag-info.txt": b"Label  :  value\nPayload-Oxum: 405.3\n", MANIFEST: files[MANIFEST] * 2})
    assert warned(loose) == {"manifest-duplicate"}
    assert theirs(loose, tmp_path)
    package = files | {"package-info.txt": b"Payload-Oxum: 1.1\n"}
    assert codes(old(package, "0.95")) == {"payload-oxum-mismatch"}
    assert codes(old(package, "0.96")) == set()


def test_fetch_txt_is_refused_and_said_why():
    report = validate_bag(Bag(signed(made() | {"fetch.txt": b""})))
    (fault,) = report.faults
    assert (fault.code, fault.path) == ("fetch-refused", "fetch.txt")
    assert "complete bags" in fault.message


def test_a_folder_that_is_no_bag():
    assert {"no-declaration", "no-manifest", "no-payload-directory"} <= codes({"a": b""})


# -- where the bag is


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["bagit.txt", "data", "data/a"], ""),
        (["data/a", "x/bagit.txt", "bagit.txt"], ""),
        (["bag", "bag/bagit.txt", "bag/data/a"], "bag/"),
        (["bag/data/a", "bag/bagit.txt"], "bag/"),
        (["túi hồ sơ/bagit.txt"], "túi hồ sơ/"),
        (["bag/bagit.txt", "other"], None),
        (["bag/bagit.txt", "other/bagit.txt"], None),
        (["a/b/bagit.txt"], None),
        (["word/document.xml", "[Content_Types].xml"], None),
        ([], None),
    ],
)
def test_where_a_bag_lies_in_an_archive(names, root):
    assert find_bag_root(iter(names)) == root


def test_a_listed_path_with_very_many_marks_is_no_file_and_takes_no_time():
    files = made({"tệp": b"1"})
    # A line is 64 Ki characters at most, so there are many.
    lines = [sha512(b"1") + f"  data/a{MARKS[:60_000]}{number}\n".encode() for number in range(12)]
    with at_once():
        found = codes(signed(files | {MANIFEST: files[MANIFEST] + b"".join(lines)}))
    assert found == {"file-missing"}
