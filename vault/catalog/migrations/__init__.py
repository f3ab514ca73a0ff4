"""The history of the schema. A revision that was released is never changed; a change is a new revision."""
