"""The tests. A package, so that ``tests.support`` is ours even where a library has installed a ``tests`` of its own."""
