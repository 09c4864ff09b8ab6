"""Headless Chromium, from the start of the program to the document that it prints."""
import contextlib
import os
import shutil
import signal
import subprocess

import pytest

from .times import SLOW

CHROMIUM = shutil.which("chromium")
SECONDS = 150  # a cold start on two busy cores takes long
BROWSER = [
    pytest.mark.skipif(not CHROMIUM, reason="needs chromium"),
    pytest.mark.skipif(SLOW > 1, reason="a browser is for the release build"),
    pytest.mark.timeout(2 * SECONDS),
    pytest.mark.xdist_group("browser"),
]


def dom(url, home, *options):
    """The document as it is when nothing more is under way. A browser that says all is well and prints nothing, not even the skeleton
    that a blank page has, has lost its document on a busy machine; it is asked once more."""
    return _dump(url, home, options) or _dump(url, home, options)


def _dump(url, home, options):
    """Chromium runs in a process group of its own, which ends here."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-pings",
               f"--user-data-dir={home}/profile", "--virtual-time-budget=60000", *(options or ["--no-proxy-server"]), "--dump-dom", url]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                               start_new_session=True)
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        raise AssertionError(f"the browser did not end\n{err[-4000:]}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # helpers that outlive it
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, err[-4000:]
    return out
