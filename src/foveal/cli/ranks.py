"""Of several ranks that fail one speaks, and torchrun's own report ends with what it said.

torchrun reads a file of each rank that failed, and its report, which nobody can turn off, quotes
it. By the same files ranks on one host see that another has spoken. Errors that nobody raised on
purpose pass here by: each rank's traceback is shown.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 5.0  # that a rank waits for the first one on its host to come to the same end


def speaks(sentence: str, *, stopped: bool = False) -> bool:
    """Return whether this process is the one to say how it ends.

    Alone it is. Of ranks on one host it is the first one; another one if that does not fail too.

    Args:
        sentence: the last word.
        stopped: whether somebody else asked for the end: of ranks that torchrun ends since
            another has failed, none has anything to add.
    """
    own = os.environ.get("TORCHELASTIC_ERROR_FILE")  # FOLDER/LOCAL RANK/error.json
    if not own:
        return True
    leads, file = os.environ.get("LOCAL_RANK") == "0", Path(own)
    others = file.parent.parent
    if stopped:
        return leads and not any(others.glob(f"*/{file.name}"))
    first = others / "0" / file.name
    deadline = time.monotonic() + PATIENCE_S
    with suppress(KeyboardInterrupt):  # torchrun ends this one: the other one has failed
        while not leads and not first.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
    said = {"message": sentence, "extraInfo": {"timestamp": str(int(time.time()))}}
    with suppress(OSError):  # then torchrun's report is without it
        file.write_text(json.dumps({"message": said}))
    return leads or not first.is_file()
