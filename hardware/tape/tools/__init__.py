"""The reference LTFS tools (``mkltfs``, ``ltfs``, ``ltfsck``) as supervised subprocesses.

:mod:`table` is the one place where what they say and how they end becomes a typed outcome; :mod:`running` holds a
process, hears what it says and ends it in time; :mod:`acts` are the acts: formatting, listing generations, recovering,
and a mounted volume. A plain ``ltfsck``, which repairs by forgetting, is run by nothing here. What does not belong
here: our own reader and writer, and what the files are.
"""
