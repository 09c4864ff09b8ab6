"""Time allowances, and the switch for the long counts. No case asserts speed: these only say when to stop waiting."""
import os
import time

SLOW = float(os.environ.get("HINGE_SLOW") or 1)
FULL = os.environ.get("HINGE_TEST_FULL") == "1"
PATIENCE = 8 * SLOW  # seconds until a wait counts as a hang


def wait_until(condition, what, seconds=PATIENCE, pause=0.01):
    """Polls `condition` until it gives something true, and returns that; fails with `what` when the patience ends."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain: {what() if callable(what) else what}")
        time.sleep(pause)
