"""Benchmarks: ours, the peers' and the floor, measured in one run, with the ratio.

They are run by hand (``make bench``), never as tests: a number counts only beside another one of the same run.
"""
