"""The storage root's files and the place of objects, against the published examples of extension 0003."""

from __future__ import annotations

import json
import warnings

import pytest

from vault.errors import Invalid
from vault.formats.ocfl import HashAndIdLayout, object_path, storage_root_files

LONG = "abcdefghij" * 26
LONG_101 = "abcdefghij" * 10 + "a"


# The tables and the test code of the extension's text
@pytest.mark.parametrize(
    ("layout", "object_id", "path"),
    [
        (HashAndIdLayout(), "object-01", "3c0/ff4/240/object-01"),
        (HashAndIdLayout(), "..hor/rib:le-$id", "487/326/d8c/%2e%2ehor%2frib%3ale-%24id"),
        (HashAndIdLayout(), "..Hor/rib:lè-$id", "373/529/21a/%2e%2eHor%2frib%3al%c3%a8-%24id"),
        (
            HashAndIdLayout(),
            LONG,
            f"55b/432/806/{LONG[:100]}-55b432806f4e270da0cf23815ed338742179002153cd8d896f23b3e2d8a14359",
        ),
        (
            HashAndIdLayout(),
            LONG_101,
            f"5cc/73e/648/{LONG[:100]}-5cc73e648fbcff136510e330871180922ddacf193b68fdeff855683a01464220",
        ),
        (
            HashAndIdLayout("md5", 2, 15),
            "..hor/rib:le-$id",
            "08/31/97/66/fb/6c/29/35/dd/17/5b/94/26/77/17/%2e%2ehor%2frib%3ale-%24id",
        ),
        (HashAndIdLayout("md5", 5, 2), "object-01", "ff755/34492/object-01"),
        (HashAndIdLayout("sha256", 0, 0), "..hor/rib:le-$id", "%2e%2ehor%2frib%3ale-%24id"),
    ],
)
def test_published_examples(layout, object_id, path):
    assert layout.object_path(object_id) == path


def test_a_hundred_characters_are_kept_whole():
    assert object_path("a" * 100).endswith("/" + "a" * 100)


@pytest.mark.parametrize("identifier", ["urn:khoso:H49/2025%20%C4%90", "a", "x" * 500, "urn:khoso:" + "%20" * 60])
def test_paths_are_those_of_ocfl_py(identifier):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ocfl.layout_0003_hash_and_id_n_tuple import Layout_0003_Hash_And_Id_N_Tuple
    assert object_path(identifier) == Layout_0003_Hash_And_Id_N_Tuple().identifier_to_path(identifier)


def test_storage_root_files_describe_the_default_layout():
    files = storage_root_files()
    assert files["0=ocfl_1.1"] == b"ocfl_1.1\n"
    layout = json.loads(files["ocfl_layout.json"])
    assert layout["extension"] == "0003-hash-and-id-n-tuple-storage-layout"
    config = files["extensions/0003-hash-and-id-n-tuple-storage-layout/config.json"]
    assert HashAndIdLayout.from_config(config) == HashAndIdLayout("sha256", 3, 3)
    assert json.loads(config)["extensionName"] == layout["extension"]


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"[]",
        b'{"tupleSize": 3.0}',
        b'{"tupleSize": true}',
        b'{"tupleSize": 33}',
        b'{"tupleSize": 0}',
        b'{"digestAlgorithm": "none"}',
        b'{"tupleSize": 32, "numberOfTuples": 3}',
        b'{"extensionName": "0002-flat-direct-storage-layout"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_bad_configs_are_refused(config):
    with pytest.raises(Invalid):
        HashAndIdLayout.from_config(config)


def test_an_id_that_is_not_text_is_refused():
    with pytest.raises(Invalid):
        object_path("\ud800")
