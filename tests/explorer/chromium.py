"""A headless Chromium, spoken to in the DevTools protocol through a pipe: JSON messages that end with a zero byte.

https://chromedevtools.github.io/devtools-protocol: the browser reads from its file descriptor 3 and writes to 4.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")  # no sandbox: root has none
PATIENCE = 60  # seconds for an answer
LAUNCH = "import os, sys; a, b, *command = sys.argv[1:]; os.dup2(int(a), 3); os.dup2(int(b), 4)\n"
LAUNCH += "os.execvp(command[0], command)"


def program():
    """The path of a Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """The browser: `send` a command and get its result; `events` has what it told meanwhile."""

    def __init__(self, profile):
        ends = [*os.pipe(), *os.pipe()]
        to_read, self.write_end, self.read_end, to_write = ends
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]  # not 3 and 4 themselves
        command = [program(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *map(str, theirs), *command], pass_fds=theirs, stderr=subprocess.DEVNULL
        )
        for end in (to_read, to_write, *theirs):
            os.close(end)
        self.count, self.received, self.events = 0, b"", []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def send(self, method, session=None, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") != self.count:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def receive(self):
        while b"\0" not in self.received:
            if not select.select([self.read_end], [], [], PATIENCE)[0]:
                raise TimeoutError(f"Chromium said nothing for {PATIENCE} s")
            part = os.read(self.read_end, 1 << 20)
            if not part:
                raise RuntimeError(f"Chromium ended with status {self.process.wait()}")
            self.received += part
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def close(self):
        self.send("Browser.close")
        self.process.wait()
        os.close(self.read_end)
        os.close(self.write_end)


class Page:
    """A tab with a file in it, in which one evaluates JavaScript and uses mouse, keyboard and fingers."""

    def __init__(self, browser, path, width=1280, height=900, dark=False):
        self.browser, self.url = browser, path.as_uri()
        self.target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        media = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in media.items()])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Page.navigate", url=self.url)
        loaded = "document.readyState === 'complete' ? done() : addEventListener('load', done)"
        self.evaluate(f"new Promise((done) => {loaded})")
        self.settle()

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def evaluate(self, expression):
        """The value of an expression, as JSON can tell it; of a promise, what it is fulfilled with."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def settle(self):
        """Wait until what is to be drawn is drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def place(self, selector):
        """Left, top, width and height of the first element of that selector, in the window."""
        script = "const box = found.getBoundingClientRect(); [box.left, box.top, box.width, box.height]"
        return self.evaluate(f"{{ const found = document.querySelector({json.dumps(selector)}); {script} }}")

    def mouse(self, *places, shift=False):
        """Press the button at the first place, move to the others, release it at the last."""
        options = {"button": "left", "buttons": 1, "clickCount": 1, "modifiers": 8 if shift else 0}
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*places, places[-1]], strict=True):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **options)
        self.settle()

    def click(self, selector):
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        left, top, width, height = self.place(selector)
        self.mouse((left + width / 2, top + height / 2))

    def finger(self, *places):
        """Touch the first place, move to the others, lift the finger."""
        kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
        for kind, (x, y) in zip(kinds, places, strict=True):
            self.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.settle()

    def key(self, key, shift=False):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0)
        self.settle()

    def close(self):
        """Close the tab; returns the events that happened in it."""
        self.browser.send("Target.closeTarget", targetId=self.target)
        return [event for event in self.browser.events if event.get("sessionId") == self.session]
