"""The commands, a module for each group: they read options, ask the daemon, and hand what it says to ``render``."""
