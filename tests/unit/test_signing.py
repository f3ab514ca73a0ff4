import base64
import json
import os
import stat
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import ConfigError, Invalid, NotFound
from vault.signing import NodeKey, canonical_json, key_id_of, verify_document

RECEIPT = {"identifier": "H49/Đ-012", "version": 1, "bytes": 2**53 - 1, "copies": [{"volume": "nas-a", "x": 1.5}]}

exact = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return NodeKey.load_or_create(tmp_path_factory.mktemp("key") / "node.key")


def test_a_key_is_made_once_and_kept_private(tmp_path):
    path = tmp_path / "node.key"
    made = NodeKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert NodeKey.load_or_create(path).public_key == made.public_key
    assert made.key_id == key_id_of(made.public_key)
    assert len(made.key_id) == 16
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.key"]


def test_programs_that_start_at_once_get_one_key(tmp_path):
    path, found, together = tmp_path / "node.key", [], threading.Barrier(8)

    def start():
        together.wait()
        found.append(NodeKey.load_or_create(path).public_key)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["node.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "node.key"
    NodeKey.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"{mode:04o}") as refused:
        NodeKey.load_or_create(path)
    assert "chmod 600" in refused.value.remedy


def test_a_key_of_someone_else_is_refused(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "node.key"
    NodeKey.load_or_create(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigError, match="12345"):
        NodeKey.load_or_create(path)


def test_a_link_a_folder_and_a_pipe_are_no_key(tmp_path):
    NodeKey.load_or_create(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "folder", "pipe"):
        with pytest.raises(ConfigError):
            NodeKey.load_or_create(tmp_path / name)
    with pytest.raises(NotFound):
        NodeKey.load_or_create(tmp_path / "nowhere" / "node.key")


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_holds_no_key_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "node.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        NodeKey.load_or_create(path)
    assert path.read_bytes() == content


def test_a_key_of_another_kind_or_under_a_password_is_refused(tmp_path):
    path = tmp_path / "node.key"
    other, own = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"secret")
    for private, protection in ((other, plain), (own, locked)):
        path.write_bytes(
            private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        )
        path.chmod(0o600)
        with pytest.raises(ConfigError):
            NodeKey.load_or_create(path)


def test_a_signed_document_is_believed_and_any_other_is_not(key):
    signed = key.sign_document(RECEIPT)
    report = verify_document(json.loads(json.dumps(signed)), [key.public_key])
    assert (report.ok, report.code, report.reason) == (True, "", "")
    assert (report.key_id, report.public_key) == (key.key_id, key.public_key)
    assert verify_document(signed, [base64.b64encode(key.public_key).decode()]).ok
    assert verify_document(signed).ok
    for change in ({"version": 2}, {"version": 1.5}, {"version": True}, {"added": None}, {"identifier": "H49/D-012"}):
        report = verify_document(signed | change, [key.public_key])
        assert (report.ok, report.code) == (False, "bad-signature")
    assert not verify_document({name: value for name, value in signed.items() if name != "copies"}).ok


def test_a_signature_of_someone_else_is_not_trusted(key, tmp_path):
    other = NodeKey.load_or_create(tmp_path / "other.key")
    signed = other.sign_document(RECEIPT)
    report = verify_document(signed, [key.public_key])
    assert (report.ok, report.code, report.key_id) == (False, "unknown-key", other.key_id)
    assert verify_document(signed, [key.public_key, other.public_key]).ok
    assert not verify_document(signed, []).ok
    assert not verify_document(signed, ["no base64", b"short", ""]).ok
    passed_off = signed | {"signature": signed["signature"] | {"public_key": base64.b64encode(key.public_key).decode()}}
    assert verify_document(passed_off, [key.public_key]).code == "bad-signature"


def test_signing_again_replaces_the_signature(key, tmp_path):
    other = NodeKey.load_or_create(tmp_path / "other.key")
    assert key.sign_document(other.sign_document(RECEIPT)) == key.sign_document(RECEIPT)


@pytest.mark.parametrize("member", ["algorithm", "key_id", "public_key", "value"])
@pytest.mark.parametrize(
    "value",
    [None, 5, "", "AA==", "Ed448", "!" * 44, "A" * 44, "A" * 1_000_000, [], {}, "\udc80", "é" * 44, float("nan")],
)
def test_a_signature_in_pieces_is_refused_and_never_an_error(key, member, value):
    signed = key.sign_document(RECEIPT)
    report = verify_document(signed | {"signature": signed["signature"] | {member: value}})
    assert not report.ok
    assert report.code
    assert report.reason


def test_a_value_has_one_spelling_only(key):
    signed = key.sign_document(RECEIPT)
    value = signed["signature"]["value"]
    # 64 bytes leave four bits over in base64; another letter there would decode to the same bytes.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = value[:-3] + alphabet[alphabet.index(value[-3]) ^ 1] + value[-2:]
    for other in (twin, value + "\n", " " + value):
        assert not verify_document(signed | {"signature": signed["signature"] | {"value": other}}).ok


def deep():
    document = {"a": None}
    for _ in range(100_000):
        document = {"a": document}
    return document


@pytest.mark.parametrize(
    "hostile",
    [None, 5, "x", [], {}, {"signature": []}, {"signature": {}}, {1: 2, "signature": {}}],
    ids=str,
)
def test_what_is_no_signed_document_is_refused_and_never_an_error(hostile):
    assert not verify_document(hostile).ok


@pytest.mark.parametrize(
    "member", [deep(), 2**53, 10**5000, float("nan"), "\udc80", {"\udc80": 1}, {1: 2}, {1, 2}, b"bytes"],
    ids=["deep", "2^53", "10^5000", "nan", "surrogate", "surrogate name", "number as name", "set", "bytes"],
)  # fmt: skip
def test_what_cannot_be_canonical_is_refused_on_both_sides(key, member):
    with pytest.raises(Invalid) as refused:
        key.sign_document({"member": member})
    assert refused.value.code == "not-canonical"
    assert refused.value.faults
    report = verify_document(key.sign_document(RECEIPT) | {"member": member})
    assert (report.ok, report.code) == (False, "not-canonical")


@given(exact)
def test_canonical_json_is_json_and_does_not_depend_on_order(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == text


def test_canonical_json_is_that_of_the_rfc():
    """RFC 8785, section 3.2.3, and the example of 3.2.2 as far as Python can read it."""
    document = dict.fromkeys(["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"], "")
    names = list(json.loads(canonical_json(document)))
    assert names == ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    numbers = [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001]
    assert canonical_json(numbers) == b"[333333333.3333333,1e+30,4.5,0.002,1e-27]"
    assert canonical_json('\u20ac$\x0f\nA\'B"\\"/') == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\"/"'


def test_openssl_alone_can_check_a_signature(key, tmp_path):
    from tests.support.tools import require

    openssl = require("openssl", "openssl")
    signed = key.sign_document(RECEIPT)
    signature = signed.pop("signature")
    # RFC 8410, section 4: what stands before the raw key in a SubjectPublicKeyInfo.
    public = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(signature["public_key"])
    (tmp_path / "key.der").write_bytes(public)
    (tmp_path / "value").write_bytes(base64.b64decode(signature["value"]))
    (tmp_path / "document").write_bytes(canonical_json(signed))
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin",
               "-in", "document", "-sigfile", "value"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "document").write_bytes(canonical_json(signed | {"version": 2}))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=False).returncode != 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_may_use_the_key_of_the_service_and_of_nobody_else(tmp_path):
    NodeKey.load_or_create(tmp_path / "node.key")
    os.chown(tmp_path / "node.key", 4711, 4711)
    with pytest.raises(ConfigError, match="belongs to user 4711"):
        NodeKey.load_or_create(tmp_path / "node.key")
    os.chown(tmp_path, 4711, 4711)
    assert NodeKey.load_or_create(tmp_path / "node.key").key_id
