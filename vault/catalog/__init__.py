"""The catalogue: what is, in one SQL database (SQLite by default, PostgreSQL by URL).

Here live the tables, their migrations, the connection and every SQL statement of the program. What should be
(policies), what to do about it (custody) and what an event means (the ledger) do not. The modules are functions that
take a :class:`~vault.catalog.engine.Tx` first; import the module and call ``copies.change(tx, …)``.

One transaction writes at a time, in both databases, so nothing here has to fear that what it read is no longer so.
The catalogue holds a row per version and per copy and none per file, and may be lost: it is rebuilt from the media.
"""

# So that the schema is whole, whoever asks for it.
from vault.catalog import callback_tables, device_tables, reading_tables, verification_tables
from vault.catalog.engine import Catalogue, Tx

__all__ = ["Catalogue", "Tx", "callback_tables", "device_tables", "reading_tables", "verification_tables"]
