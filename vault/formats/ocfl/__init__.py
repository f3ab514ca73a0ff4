"""The Oxford Common File Layout, version 1.1: how packages lie on a volume.

Here live the storage root's layout, object ids, content paths, inventories (read, built, written), and a validator for
objects and storage roots that works over any tree of files. Sources: https://ocfl.io/1.1/spec/ and the community
extension 0003-hash-and-id-n-tuple-storage-layout. No policy, no database, no volume: nothing in here writes a file, and
nothing knows a copy or a package. What is read is taken for hostile: it is bounded, and no link is followed.
"""

from vault.formats.ocfl.building import first_version, next_version
from vault.formats.ocfl.content_paths import ContentPaths
from vault.formats.ocfl.inventory import (
    INVENTORY_FILE,
    MAX_INVENTORY_BYTES,
    Inventory,
    User,
    Version,
    parse_sidecar,
    sidecar_bytes,
    sidecar_name,
)
from vault.formats.ocfl.layout import (
    OBJECT_DECLARATION,
    ROOT_DECLARATION,
    HashAndIdLayout,
    object_declaration,
    object_path,
    storage_root_files,
)
from vault.formats.ocfl.object_ids import identifier_of, object_id
from vault.formats.ocfl.reading import Reading, parse_inventory, read_inventory
from vault.formats.ocfl.report import ObjectReport, RootReport
from vault.formats.ocfl.tree import Entry, FolderTree, Kind, Tree
from vault.formats.ocfl.validate import validate_object
from vault.formats.ocfl.validate_root import find_objects, validate_root

__all__ = [
    "INVENTORY_FILE",
    "MAX_INVENTORY_BYTES",
    "OBJECT_DECLARATION",
    "ROOT_DECLARATION",
    "ContentPaths",
    "Entry",
    "FolderTree",
    "HashAndIdLayout",
    "Inventory",
    "Kind",
    "ObjectReport",
    "Reading",
    "RootReport",
    "Tree",
    "User",
    "Version",
    "find_objects",
    "first_version",
    "identifier_of",
    "next_version",
    "object_declaration",
    "object_id",
    "object_path",
    "parse_inventory",
    "parse_sidecar",
    "read_inventory",
    "sidecar_bytes",
    "sidecar_name",
    "storage_root_files",
    "validate_object",
    "validate_root",
]
