"""What a forked child comes to."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

LIMIT = 60  # seconds; one that hangs does so for ever, and a busy machine is slow
ENDED, FAILED, HUNG = "ended", "failed", "hung"


def outcome_in_child(check: Callable[[], Any], seconds: float = LIMIT) -> str:
    """Run `check` in a forked child, and return whether it ended with a true value, failed, or hung."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return FAILED if status else ENDED
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG
