"""A Debian with a kernel of its own: made from Debian's packages, booted by QEMU, its disks and its plug in our hands.

``image`` makes what it boots from, ``machine`` runs it, ``channel`` speaks to QEMU and to the agent inside, ``disk`` is
a disk that loses at a power cut what it was not told to flush, ``extract`` reads a disk while the guest is off or holds
still. What a test does with a guest, and what it asserts, does not belong here.
"""
