"""Answers to ``GET /packages/{identifier}`` that still hold: who asks again costs no question to the catalogue.

An answer is kept with what it was made of, and given as long as nothing of that was changed since
(:mod:`vault.catalog.changes`). It is given in the event loop, without a thread: while many deposits and downloads are
under way, each turn for the interpreter is a wait, and a question to the catalogue takes dozens of them.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from vault.api import ownership, views
from vault.api.auth import Principal
from vault.api.conditional import Document
from vault.api.parts import NodeParts
from vault.catalog import packages
from vault.catalog.changes import About

MOST: Final = 1000
LARGEST: Final = 32 * 1024
"""Bytes. One of a package with many versions is made anew each time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer. ``number`` is the newest commit up to which nothing was changed of ``made_of``."""

    document: Document
    agency: str
    made_of: tuple[About, ...]
    number: int


class KeptAnswers:
    """The answers of one node. ``find`` never blocks for long; ``make`` asks the catalogue."""

    def __init__(self, node: NodeParts) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def find(self, who: Principal, identifier: str) -> Document | None:
        """The answer, where one is kept that holds and that they may see."""
        with self._lock:
            kept = self._kept.get(identifier)
            if kept is None:
                return None
            number = self._node.catalogue.changes.number
            if self._node.catalogue.changes.any_since(kept.number, kept.made_of):
                del self._kept[identifier]
                return None
            self._kept[identifier] = dataclasses.replace(kept, number=number)
            self._kept.move_to_end(identifier)
        return kept.document if ownership.may_see(who, kept.agency) else None

    def make(self, who: Principal, identifier: str) -> Document:
        """Ask the catalogue, and keep the answer. Raises NotFound (``no-such-package``)."""
        # Before the catalogue is read: what changes meanwhile makes the answer one that does not hold.
        number = self._node.catalogue.changes.number
        with self._node.catalogue.read() as tx:
            package = ownership.seen_package(tx, who, identifier)
            document = Document.of(views.package(self._node, tx, package))
            versions = packages.versions_of(tx, package.id)
        made_of: list[About] = [("package", package.id), ("identifier", package.identifier)]
        made_of += [("version", version.id) for version in versions]
        if len(document.body) <= LARGEST:
            with self._lock:
                self._kept[identifier] = Kept(document, package.descriptive.agency, tuple(made_of), number)
                self._kept.move_to_end(identifier)
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)
        return document
