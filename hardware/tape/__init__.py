"""Tape drives, changers and cartridges as things: what is loaded where, what fits what, and how they feel.

Facts and rules (:mod:`barcodes`, :mod:`generation`, :mod:`tapealert`, :mod:`cleaning`, :mod:`sense`, :mod:`pages`) are
pure functions over what a device said. Devices are spoken to in two ways only: a library through a
:class:`~hardware.tape.changer.Changer` (``mtx``, a folder that plays a library, or a person), and a drive through SG_IO
on its ``/dev/sgN`` node, held exclusively (:mod:`sgio`, :mod:`drive`, :mod:`medium`). Nothing here opens an ``st`` or
``nst`` node, writes to a tape, or knows which cartridge holds what: that is for the formats and for the archive above.
"""
