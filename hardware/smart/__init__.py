"""Disks as they describe themselves (S.M.A.R.T.: ATA, NVMe, SCSI), and what to think of them.

``run`` and ``collect`` ask ``smartctl`` and are the only part that needs root; ``report`` is the file by which the
answers reach everybody else. ``parse`` turns an answer into ``facts`` (``attributes`` reads the ATA table,
``counters`` whatever is counted, ``misread`` finds what cannot be read), ``verdict`` judges them, ``growth`` how they
changed. What a disk says is hostile input: every field may be absent, garbled, huge or negative, and is then
unknown, which is never 0 and never healthy. No volume, package or database is known here.
"""
