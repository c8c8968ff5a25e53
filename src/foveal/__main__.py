"""The entry point: `foveal`, which is `python -m foveal`."""

import atexit
import os
import signal
import sys


def main() -> None:
    """Run the command line; an interruption while it is being imported is one too."""
    end = _End()
    try:
        try:
            from foveal.cli import run

            run()
        except KeyboardInterrupt as once_more:  # or while it was imported
            code = 130 if type(once_more) is KeyboardInterrupt else 143
            raise SystemExit(code) from None
    except SystemExit as ended:
        for number in (signal.SIGINT, signal.SIGTERM):  # whoever asks now need not wait
            signal.signal(number, signal.SIG_DFL)
        end.code = ended.code if isinstance(ended.code, int) else None
        raise


class _End:
    """The end of the process at once, when all that asked to be called at the end was called.

    What Python would do then is take apart, object by object, what the system takes back anyway:
    with torch more than a second.
    """

    def __init__(self) -> None:
        """Be the first to ask, so the last to be called."""
        self.code: int | None = None  # None: nobody expected it to end like this; Python does it
        atexit.register(self._now)

    def _now(self) -> None:
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except (OSError, ValueError):  # full, or closed: Python says so in its own way
            return
        os._exit(self.code)


if __name__ == "__main__":
    main()
