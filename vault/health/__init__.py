"""What the disks, arrays and mounts below the volumes say, and what follows from it for the copies on them.

``disks`` turns a report of the helper into verdicts with a history, ``identities`` says which disk is which, ``arrays``
joins what everybody sees of arrays with what only root is told, ``sources`` tells a wrong export from a move,
``volumes`` makes each volume's health of it, ``watch`` does both at an interval, writes down what changed, and orders
what follows: a volume that is doubtful is verified, new copies prefer others, and the status proposes its evacuation.
Devices are :mod:`hardware`'s; nothing here opens one, and nothing here changes a copy.
"""
