"""This package beside every other way to the same answer, all in one run: ``python -m benchmarks.peers``."""
