"""The places that hold copies: the Volume protocol and its kinds.

A volume knows its own medium and format: how a copy is staged, made durable, put in place, read back and set
aside. It knows no policy, no catalogue and no other volume; what should happen to a copy is decided in
:mod:`vault.custody`. Every kind of volume passes the one conformance suite in ``tests/conformance/volumes``.
"""
