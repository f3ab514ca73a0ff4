"""What Alembic runs: the revisions, on the connection and in the transaction that it was given."""

from alembic import context

from vault.catalog.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
