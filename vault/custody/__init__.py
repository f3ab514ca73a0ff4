"""All that happens to a copy in its life: planned, written, proved, doubted, repaired.

Policy says what should be, the catalogue says what is, and the planner here derives the work. Nothing lives in a queue
that a crash could lose. One module per kind of work (:mod:`~vault.custody.replicate`,
:mod:`~vault.custody.verify`, :mod:`~vault.custody.repair`); :mod:`~vault.custody.record` is the only place where a copy
changes its state. No HTTP, no SQL and no file format in here.
"""
