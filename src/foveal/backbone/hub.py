"""Whether the hub of timm's weights can be reached, asked once instead of waiting a minute."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

PATIENCE_S = 2.0


def hub_answers(within_s: float = PATIENCE_S) -> bool:
    """Return whether the hub answers at all within ``within_s`` seconds; nothing is downloaded."""
    if find_spec("huggingface_hub") is None:
        return False
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=within_s)
        except Exception:  # noqa: BLE001  # whatever went wrong: the hub did not answer
            return
        answered.set()

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name may take longer
    asking.start()
    asking.join(within_s)
    return answered.is_set()


@contextmanager
def silent_hub_is_left_alone() -> Iterator[bool]:
    """Yield whether the hub answers; while it does not, its own cache is read and nothing else.

    Without this, huggingface_hub repeats every request for 45 seconds (measured, 2.4.0).
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    answers = hub_answers()
    constants.HF_HUB_OFFLINE = not answers
    try:
        yield answers
    finally:
        constants.HF_HUB_OFFLINE = before
