"""Devices: disks, mounts, tape drives, changers and the LTFS format on their media.

Nothing here knows what a package is, and nothing here imports :mod:`vault`: a device can be looked at, and a
cartridge read, by a program that has never heard of an archive.
"""
