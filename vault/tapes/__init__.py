"""Copies on tape: which cartridge holds what, when one is written, read back, asked for, and by whom.

One :class:`~vault.tapes.librarian.Librarian` for each library owns it, in a thread of its own, and does one thing at a
time: it takes inventory (:mod:`~vault.tapes.shelves`), writes what waits (:mod:`~vault.tapes.gathering`,
:mod:`~vault.tapes.writing`), and reads, all that is wanted from a cartridge in one pass (:mod:`~vault.tapes.one_pass`):
what is recalled (:mod:`~vault.tapes.recalling`), what was written or is due to be checked
(:mod:`~vault.tapes.proving`). Which job is next is derived from the catalogue each time (:mod:`~vault.tapes.jobs`),
so a kill loses none. States of copies change through :mod:`vault.custody.record` only, those of cartridges through
:mod:`~vault.tapes.record`. No SCSI, no LTFS bytes and no SQL in here.
"""
