"""ocfl-py as a second opinion on whatever we say is a valid object."""

from __future__ import annotations

import warnings
from pathlib import Path


def complaints(folder: Path) -> str:
    """What ocfl-py finds wrong with the object in ``folder``; "" when it is valid and without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ocfl.validator import Validator

        validator = Validator(log_warnings=True)
        if validator.validate_object(str(folder)):
            return ""
        return validator.status_str() or "not valid"


def root_complaints(folder: Path) -> str:
    """The same for a whole storage root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ocfl.storage_root import StorageRoot

        root = StorageRoot(root=str(folder))
        good = root.validate(validate_objects=True, check_digests=True)
        return "" if good else f"{root.num_objects} objects, {root.good_objects} good"
