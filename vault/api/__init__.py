"""The HTTP API: the only way in for programs, and for ``vaultctl`` over a Unix socket.

Here live routes, tokens and scopes, problem documents, and the server that speaks HTTP; the JSON shapes are
:mod:`vault.wire`. What a request means is decided elsewhere: taking in by :mod:`vault.intake`, the life of copies by
:mod:`vault.custody`. Nothing here opens a device, holds an SQL statement or knows monitoring; that is injected.
"""
