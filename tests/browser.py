"""A Chromium that tests drive, by the protocol of its driver; and a folder served to it."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "Chromium and its chromedriver, in which pages are tried, are not installed"


class Browser:
    """One page of a headless Chromium, its console read."""

    def __init__(self, profile: Path):
        self._driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
        port = next(
            found[1] for line in self._driver.stdout if (found := re.search(r"successfully on port (\d+)", line))
        )
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",  # of which containers have little: pages crash
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ]
        self._session = f"http://127.0.0.1:{port}/session"
        options = {"binary": CHROMIUM, "args": arguments}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._ask("", {"capabilities": {"alwaysMatch": wanted}})
        self._session += f"/{made['sessionId']}"

    def _ask(self, path: str, body: dict | None = None, method: str | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._session + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:  # the driver says in its answer what happened
            raise RuntimeError(f"{path} {body}: {error.read().decode()[:1000]}") from error

    def open(self, url: str, width: int = 1400, scheme: str = "light") -> None:
        """Open a page on a screen of some width in pixels, for someone who likes it light or dark."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        for command, parameters in (
            ("Emulation.setDeviceMetricsOverride", screen), ("Emulation.setEmulatedMedia", media),
        ):  # fmt: skip
            self._ask("/goog/cdp/execute", {"cmd": command, "params": parameters})
        self._ask("/url", {"url": url})

    def run(self, script: str):
        """Return what a script returns in the page."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str, seconds: float = 20):
        """Return what a script returns once it is true, None if it never is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(script):
                return found
            time.sleep(0.1)
        return None

    def errors(self) -> list[str]:
        """Return the console's errors since the last call."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def picture(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode(self._ask("/screenshot"))

    def close(self) -> None:
        """End it."""
        try:
            self._ask("", method="DELETE")
        finally:
            self._driver.terminate()
            self._driver.wait()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # a page asks for many files at once


@contextmanager
def served(folder: Path):
    """Yield the address at which a folder is served on this machine alone."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
