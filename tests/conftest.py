"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("default", deadline=None)  # timings never decide a test
settings.load_profile("default")
