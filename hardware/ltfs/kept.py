"""The entries of an index that was kept off its tape, as XML in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from hardware.ltfs.model import Entry
from hardware.ltfs.parse import NameComesLate, directory_names, parse_index


def kept_entries(pieces: Callable[[], Iterable[bytes]]) -> Iterator[Entry]:
    """All files and directories, in the order of the index, in bounded memory.

    ``pieces`` gives the XML from its beginning each time it is called: where a directory's name stands behind its
    contents, the index is read twice. Raises ``Malformed``, and what ``pieces`` raises.
    """
    given = 0
    try:
        for entry in parse_index(pieces()):
            yield entry
            given += 1
    except NameComesLate:
        names = directory_names(pieces())
        yield from itertools.islice(parse_index(pieces(), names=names), given, None)
