"""What holds for all tests."""

import signal

from hypothesis import settings

# A gate that runs in the background has interrupts ignored, and hands that on to the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None)  # timings never decide a test
settings.load_profile("default")
