"""Waiting for what comes soon. The deadline is for hangs, on a computer that is busy."""
import time


def wait_until(condition, what, seconds=120):
    """What condition() gives once that is true; fails with what is missing at the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        missing = what() if callable(what) else what
        assert time.monotonic() < end, f"not within {seconds} s: {missing}"
        time.sleep(0.01)
