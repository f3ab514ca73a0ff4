"""A small typed client of the API: what ``vaultctl`` speaks to the daemon with, and any other Python program may.

It speaks HTTP over the node's Unix socket or over TCP with a token, streams what is deposited and fetched, turns
problem documents back into :mod:`vault.errors`, and compares every digest that it can. Of the API it knows only the
JSON shapes (:mod:`vault.wire`). :class:`AsyncClient` is the same with ``await``, as far as depositors and readers go.
Nothing here prints, asks, or knows the catalogue or a volume.
"""

from vault.client.aio import AsyncClient
from vault.client.answers import Deposited, DepositStatus
from vault.client.body import Body, FileBody, Progress
from vault.client.connection import Endpoint
from vault.client.folder import FolderBody
from vault.client.http import Client, Download
from vault.client.resume import FolderMemory, Memory

__all__ = [
    "AsyncClient",
    "Body",
    "Client",
    "DepositStatus",
    "Deposited",
    "Download",
    "Endpoint",
    "FileBody",
    "FolderBody",
    "FolderMemory",
    "Memory",
    "Progress",
]
