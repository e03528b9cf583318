"""How far a command is: one line of a terminal that changes, or now and then a line of a log."""

import sys
import time

from eyespot.train.logs import duration

_TERMINAL_S, _LOG_S = 0.2, 10.0


class Progress:
    """Says on standard error what is done, how fast, and how long the rest takes.

    Args:
        what: Is counted, such as "images".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.began = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Say that so many of all are done, unless that was said a moment ago."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if done < total and now - self.last < (_TERMINAL_S if terminal else _LOG_S):
            return
        self.last = now
        rate = done / max(now - self.began, 1e-9)
        line = f"{done:,} of {total:,} {self.what}, {rate:,.{0 if rate >= 10 else 2}f} a second"
        if done < total:
            line += f", ETA {duration((total - done) / max(rate, 1e-9))}"
        end = "" if terminal and done < total else "\n"
        print(f"\r\x1b[K{line}" if terminal else line, end=end, file=sys.stderr, flush=True)
