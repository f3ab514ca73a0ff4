"""Formats: what an archive, a bag and an OCFL object are, byte by byte.

Here lives pure format code: readers and writers of tar, gzip and zip, BagIt (RFC 8493), OCFL, and the rules for
names inside an archive. It takes bytes, streams or small protocols and gives facts back. What may not live here:
policy (how many copies, who may), the catalogue, volumes, the network, and any opening of paths on its own account.
Everything that is read here is taken to be hostile: every length is bounded before memory is spent on it, and all that
is refused is refused with a typed fault (`vault.errors.Invalid`).
"""
