"""Chromium as a person runs it: tabs in the background are hidden, and pages are rendered ahead.

Playwright makes every page believe that it is seen, and keeps those that are rendered ahead from
running. So these tests speak the DevTools protocol themselves, over its pipe (descriptors 3 and 4).
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import select
import subprocess
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS_WITHIN_S = 20


class BareBrowser:
    """A browser of this test's own, inside a `with`. `profile`: an empty folder."""

    def __init__(self, program: str, profile: Path) -> None:
        self._command = [
            *(program, "--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe"),
            *(f"--user-data-dir={profile}", "about:blank"),
        ]
        self._received = b""
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        its_end, self._to = self._open_pipe()
        self._from, its_other_end = self._open_pipe()

        def place_pipes() -> None:
            os.dup2(its_end, 3)
            os.dup2(its_other_end, 4)

        self._process = subprocess.Popen(
            self._command,
            preexec_fn=place_pipes,  # noqa: PLW1509  nothing else can put pipes at 3 and 4
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_end)
        os.close(its_other_end)
        return self

    def __exit__(self, *_exception: object) -> None:
        try:
            self._ask("Browser.close")
            self._process.wait(ANSWERS_WITHIN_S)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._to)
            os.close(self._from)

    def open(self, url: str, *, behind: bool = False) -> str:
        """Open a tab, `behind` the one that is seen, and give its id."""
        return str(self._ask("Target.createTarget", url=url, background=behind)["targetId"])

    def show(self, tab: str) -> None:
        """Bring a tab to the front."""
        self._ask("Target.activateTarget", targetId=tab)

    def run(self, tab: str, script: str) -> Any:
        """Run a script in a tab, and give what it comes to."""
        session = self._ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        answer = self._ask("Runtime.evaluate", session, expression=script, userGesture=True)
        self._ask("Target.detachFromTarget", sessionId=session)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    @staticmethod
    def _open_pipe() -> tuple[int, int]:
        """Open a pipe whose ends are not where the browser's shall be."""
        low = os.pipe()
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
        for end in low:
            os.close(end)
        return reads, writes

    def _ask(self, method: str, session: str | None = None, /, **parameters: object) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> Any:
        while b"\0" not in self._received:
            assert select.select([self._from], [], [], ANSWERS_WITHIN_S)[0], "the browser does not answer"
            received = os.read(self._from, 1 << 16)
            assert received, "the browser has ended"
            self._received += received
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)
