"""What all tests share: hypothesis draws the same examples every time, so that a red run can be run again."""

from hypothesis import settings

settings.register_profile("same every time", derandomize=True)
settings.load_profile("same every time")
