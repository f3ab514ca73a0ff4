"""Copies on tape: which cartridge holds what, when one is written, read back, asked for, and by whom.

One :class:`~vault.tapes.librarian.Librarian` for each library owns it, in a thread of its own, and does one thing at a
time: it takes inventory (:mod:`~vault.tapes.shelves`), brings back what is recalled (:mod:`~vault.tapes.recalling`),
writes what waits (:mod:`~vault.tapes.gathering`, :mod:`~vault.tapes.writing`) and reads back what was written or is
due (:mod:`~vault.tapes.proving`). Which job is next is derived from the catalogue each time (:mod:`~vault.tapes.jobs`),
so a kill loses none. States of copies change through :mod:`vault.custody.record` only, those of cartridges through
:mod:`~vault.tapes.record`. No SCSI, no LTFS bytes and no SQL in here.
"""
