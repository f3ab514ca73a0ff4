"""Losing the brain: the catalogue made anew from what the media say of themselves, and the drill for that day.

A medium is read through one small protocol (:mod:`~vault.recovery.sources`); what it holds is entered by
:mod:`~vault.recovery.entering`, whether the whole catalogue is rebuilt (:mod:`~vault.recovery.rebuild`) or one volume
is compared with the catalogue that there is. Nothing here writes on a volume's content, ever, and no HTTP is here.
"""
