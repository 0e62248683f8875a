"""Chromium without a window for tests of pages, spoken to over a pipe (Chrome DevTools Protocol): no driver is needed.

    with open_browser() as browser:
        page = browser.open(url)
        page.wait_for("window.loaded")
        page.evaluate("1 + 1")

Drawing is done in software (SwiftShader), so that it is the same everywhere.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Software drawing; no sandbox, as containers allow none; nothing fetched by the browser for itself.
FLAGS = (
    "--headless=new --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist "
    "--remote-debugging-pipe --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-extensions --disable-dev-shm-usage --hide-scrollbars --force-color-profile=srgb"
).split()
# What Chromium says of its own speed, and of a context that a test takes away.
OF_ITSELF = ("GPU stall due to ReadPixels", "CONTEXT_LOST_WEBGL", "Too many active WebGL contexts")
# Seconds, for an answer of a machine that does much else.
PATIENCE = float(os.environ.get("SIMULACRA_PATIENCE", "120"))
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}


class PageError(Exception):
    """The page threw, or did not become what was waited for."""


class Page:
    """A tab: what it says on the console (`messages`: level and text) and asks for (`requests`: addresses) is kept."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session
        self.messages: list[tuple[str, str]] = []
        self.requests: list[str] = []
        self.loads = 0

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer."""
        return self.browser.send(method, params, self.session)

    def goto(self, url: str) -> None:
        """Loads an address, with all that its document names.

        What is asked of a page while another takes its place may never be answered.
        """
        before = self.loads
        told = self.send("Page.navigate", url=url)
        if "errorText" in told:
            raise PageError(f"{url}: {told['errorText']}")
        while self.loads == before:
            self.browser.listen()

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page; promises are waited for."""
        told = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            details = told["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return told["result"].get("value")

    def wait_for(self, expression: str, seconds: float = PATIENCE) -> Any:
        """The expression's value as soon as it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(PageError):
                if value := self.evaluate(expression):
                    return value
            time.sleep(0.05)
        raise PageError(f"{expression} did not become true in {seconds:g} s; the console: {self.messages}")

    def resize(self, width: int, height: int, scale: float = 1.0, *, touch: bool = False) -> None:
        """A window of this many CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=touch,
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=touch)

    def screenshot(self, path: Path) -> Path:
        """The window as a PNG file."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
        return path

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """A key of the keyboard, by its name in `KeyboardEvent.key`."""
        typed = text or (key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                text=typed if kind == "keyDown" else "",
                windowsVirtualKeyCode=code or (ord(key.upper()) if len(key) == 1 else 0),
            )

    def drag(self, start: tuple[float, float], stop: tuple[float, float], button: str = "left") -> None:
        """The mouse pressed at one place of the window, moved, and let go at another."""
        middle = tuple((a + b) / 2 for a, b in zip(start, stop))
        steps = (
            ("mousePressed", start),
            ("mouseMoved", middle),
            ("mouseMoved", stop),
            ("mouseReleased", stop),
        )
        for kind, (x, y) in steps:
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=1, clickCount=1)

    def click(self, selector: str) -> None:
        """The mouse on the middle of the first element that a selector names."""
        box = self.evaluate(
            f"(e => (e.scrollIntoView({{block: 'nearest'}}), e.getBoundingClientRect().toJSON()))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.drag(at, at)

    def close(self) -> None:
        """Closes the tab."""
        self.send("Page.close")

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Notes an event."""
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method == "Runtime.consoleAPICalled":
            words = [str(a.get("value", a.get("description", ""))) for a in params["args"]]
            self.messages.append((params["type"], " ".join(words)))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.messages.append(("error", details.get("exception", {}).get("description", details["text"])))
        elif method == "Log.entryAdded":
            self.messages.append((params["entry"]["level"], params["entry"]["text"]))
        elif method == "Target.attachedToTarget":  # a worker, whose requests and words are the page's
            worker = params["sessionId"]
            self.browser.pages[worker] = self
            for domain in ("Runtime", "Network"):
                self.browser.tell(f"{domain}.enable", {}, worker)
            self.browser.tell("Runtime.runIfWaitingForDebugger", {}, worker)
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console, but for what the browser says of itself."""
        grave = [text for level, text in self.messages if level in ("error", "warning", "assert")]
        return [text for text in grave if not any(known in text for known in OF_ITSELF)]


class Browser:
    """A running Chromium."""

    def __init__(self, program: str, profile: Path, flags: Sequence[str]) -> None:
        told, self.commands = os.pipe()
        self.answers, telling = os.pipe()
        self.log = (profile / "log.txt").open("wb")
        self.process = subprocess.Popen(
            [
                "bash",
                "-c",
                f'exec 3<&{told} 4>&{telling}; exec "$@"',
                program,
                program,
                *FLAGS,
                *flags,
                f"--user-data-dir={profile}",
            ],
            pass_fds=(told, telling),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        os.close(told)
        os.close(telling)
        self.heard, self.asked, self.pages = b"", 0, dict[str, Page]()

    def send(self, method: str, params: dict[str, Any] | None = None, session: str = "") -> dict[str, Any]:
        """A command of the protocol, and its answer; events that come before it go to their pages."""
        number = self.tell(method, params or {}, session)
        while (answer := self.listen()).get("id") != number:
            pass
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']}")
        return answer["result"]

    def listen(self) -> dict[str, Any]:
        """The next answer or event; events go to their pages."""
        answer = self._next_answer()
        page = self.pages.get(answer.get("sessionId", ""))
        if page and "method" in answer:
            page.hear(answer["method"], answer["params"])
        return answer

    def tell(self, method: str, params: dict[str, Any], session: str = "") -> int:
        """A command whose answer nobody waits for; its number."""
        self.asked += 1
        said: dict[str, Any] = {"id": self.asked, "method": method, "params": params}
        if session:
            said["sessionId"] = session
        told = json.dumps(said).encode() + b"\0"
        while told:
            told = told[os.write(self.commands, told) :]
        return self.asked

    def _next_answer(self) -> dict[str, Any]:
        while b"\0" not in self.heard:
            ready, _, _ = select.select([self.answers], [], [], PATIENCE)
            more = os.read(self.answers, 1 << 20) if ready else b""
            if not more:
                raise PageError("the browser has stopped" if ready else f"no answer in {PATIENCE:g} s")
            self.heard += more
        message, _, self.heard = self.heard.partition(b"\0")
        return json.loads(message)

    def open(self, url: str = "about:blank", width: int = 900, height: int = 700) -> Page:
        """A new tab, whose console and requests are listened to from the beginning."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        told = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = self.pages[told["sessionId"]] = Page(self, told["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.send("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        page.resize(width, height)
        if url != "about:blank":
            page.goto(url)
        return page

    def close(self) -> None:
        """Ends the browser and waits for it."""
        with contextlib.suppress(PageError, OSError):
            self.send("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
        self.log.close()


def find_browser() -> str | None:
    """The program, or `$SIMULACRA_BROWSER`."""
    chosen = os.environ.get("SIMULACRA_BROWSER")
    return chosen or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextlib.contextmanager
def open_browser(*flags: str) -> Iterator[Browser]:
    """A browser for a while; the test skips where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed, and SIMULACRA_BROWSER names none")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, Path(profile), flags)
        try:
            yield browser
        finally:
            browser.close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = TYPES

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def serve_folder(
    folder: Path, handler: Callable[..., http.server.SimpleHTTPRequestHandler] = _Handler
) -> Iterator[str]:
    """The address of a folder, served to this machine for a while."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
