"""The revisions, oldest first by their names. Each stands alone and imports nothing of the program."""
