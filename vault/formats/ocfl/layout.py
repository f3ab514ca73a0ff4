"""The storage root: its declaration, and where an object lives in it.

Sources: OCFL 1.1 section 4, and community extension 0003-hash-and-id-n-tuple-storage-layout, which puts an object
into three folders of three digits of the SHA-256 of its id, in a folder that is named after the id.

On a volume that ignores case two ids can meet in one folder when they differ by case only and their digests begin
alike: who writes an object looks at the id of what is already there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from vault.errors import Fault, Invalid
from vault.formats.ocfl import digests

SPEC = "1.1"
LAYOUT = "0003-hash-and-id-n-tuple-storage-layout"
LAYOUT_FILE = "ocfl_layout.json"
ROOT_DECLARATION = f"0=ocfl_{SPEC}"
OBJECT_DECLARATION = f"0=ocfl_object_{SPEC}"

REGISTERED_EXTENSIONS = frozenset(
    {
        "initial",
        "0001-digest-algorithms",
        "0002-flat-direct-storage-layout",
        LAYOUT,
        "0004-hashed-n-tuple-storage-layout",
        "0005-mutable-head",
        "0006-flat-omit-prefix-storage-layout",
        "0007-n-tuple-omit-prefix-storage-layout",
        "0008-schema-registry",
        "0009-digest-algorithms",
        "0010-differential-n-tuple-omit-prefix-storage-layout",
        "0011-direct-clean-path-layout",
        "0012-hash-and-no-prefix-id-n-tuple-storage-layout",
    }
)
"""Names that may stand in ``extensions/`` and ``ocfl_layout.json`` without a warning (ocfl.github.io/extensions)."""

_NAME_LIMIT = 100  # characters of the encoded id that are kept, by the extension
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class HashAndIdLayout:
    """Extension 0003 with its parameters; the defaults are the extension's, and ours.

    ``tuple_size`` is in hex digits; both numbers are 0..32, and either both or none of them 0.
    """

    digest_algorithm: str = "sha256"
    tuple_size: int = 3
    number_of_tuples: int = 3

    def object_path(self, object_id: str) -> str:
        """Return the folder of the object, relative to the storage root.

        Raises:
            Invalid: the id is not Unicode text, or this machine cannot compute the layout's digest.
        """
        hasher = digests.new_hasher(self.digest_algorithm)
        try:
            data = object_id.encode("utf-8")
        except UnicodeEncodeError as error:
            raise Invalid("The object id is not Unicode text.", faults=[Fault("E037", "not text")]) from error
        if hasher is None:
            raise Invalid(f"The layout's digest algorithm {self.digest_algorithm!r} is not known here.")
        hasher.update(data)
        digest = hasher.hexdigest()
        name = _UNSAFE.sub(lambda match: "".join(f"%{b:02x}" for b in match[0].encode()), object_id)
        if len(name) > _NAME_LIMIT:
            name = f"{name[:_NAME_LIMIT]}-{digest}"
        size = self.tuple_size
        return "/".join([*(digest[i * size : (i + 1) * size] for i in range(self.number_of_tuples)), name])

    @classmethod
    def from_config(cls, data: bytes) -> HashAndIdLayout:
        """Read the extension's ``config.json``.

        Raises:
            Invalid: not JSON, or parameters that the extension does not allow.
        """
        try:
            config: object = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _bad_config("it is not JSON") from error
        if not isinstance(config, dict):
            raise _bad_config("it is not a JSON object")
        if config.get("extensionName", LAYOUT) != LAYOUT:
            raise _bad_config("it is of another extension")
        algorithm = config.get("digestAlgorithm", "sha256")
        size = config.get("tupleSize", 3)
        number = config.get("numberOfTuples", 3)
        if not isinstance(algorithm, str) or (hasher := digests.new_hasher(algorithm)) is None:
            raise _bad_config("its digestAlgorithm is not known")
        # bool is an int to Python, and not to JSON
        if type(size) is not int or type(number) is not int or not (0 <= size <= 32 and 0 <= number <= 32):
            raise _bad_config("tupleSize and numberOfTuples must be whole numbers from 0 to 32")
        if (size == 0) != (number == 0) or size * number > len(hasher.hexdigest()):
            raise _bad_config("tupleSize and numberOfTuples do not fit each other or the digest")
        return cls(algorithm, size, number)


def object_path(object_id: str) -> str:
    """Return where an object lives in a storage root of ours, relative to the root."""
    return HashAndIdLayout().object_path(object_id)


def storage_root_files() -> dict[str, bytes]:
    """Return the files that make an empty folder a storage root of ours: path relative to the root, content."""
    layout = {
        "extension": LAYOUT,
        "description": "Hashed truncated n-tuple trees with object id encapsulating directory: three folders of "
        "three hex digits of the SHA-256 of the object id, then a folder named after the id.",
    }
    config = {"extensionName": LAYOUT, "digestAlgorithm": "sha256", "tupleSize": 3, "numberOfTuples": 3}
    return {
        ROOT_DECLARATION: f"ocfl_{SPEC}\n".encode(),
        LAYOUT_FILE: (json.dumps(layout, indent=2) + "\n").encode(),
        f"extensions/{LAYOUT}/config.json": (json.dumps(config, indent=2) + "\n").encode(),
    }


def object_declaration(spec: str = SPEC) -> tuple[str, bytes]:
    """Return name and content of the file that declares a folder an OCFL object."""
    return f"0=ocfl_object_{spec}", f"ocfl_object_{spec}\n".encode()


def _bad_config(why: str) -> Invalid:
    message = f"The layout's config.json cannot be used: {why}."
    return Invalid(message, faults=[Fault("E071", message, f"extensions/{LAYOUT}/config.json")])
