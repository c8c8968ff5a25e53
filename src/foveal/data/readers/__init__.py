"""The readers: each turns one layout of labelled pictures into a `Manifest`.

A reader is a module with ``sniff`` and ``read``. Adding one is two edits: write the file, list
it here, before every reader that would take its sources for its own.
"""

from __future__ import annotations

from pathlib import Path

from foveal.core.errors import OutOfRange
from foveal.core.files import check_exists
from foveal.core.table import Table
from foveal.data.manifest import Manifest
from foveal.data.readers import folders, saved, split_folders, tabular
from foveal.data.reading import Reader, ReadSettings

READERS: Table[Reader] = Table(
    "reader",
    {
        "saved": saved,
        "tabular": tabular,
        "split_folders": split_folders,
        "folders": folders,
    },
)

DEFAULTS = ReadSettings()


def read(
    path: Path | str, *, reader: str | None = None, settings: ReadSettings = DEFAULTS
) -> Manifest:
    """Read labelled pictures, whatever layout they are in.

    Args:
        path: a folder, a table or a saved manifest; ``~`` is the home folder.
        reader: name in ``READERS``; None: ``settings.reader``, else the first that sniffs its own.
        settings: what the source leaves open.

    Raises:
        NotThere: if nothing is at ``path``.
        OutOfRange: if no reader knows what is there.
        BadData: if nothing can be learnt from what is there, or it contradicts itself.
    """
    path = Path(path).expanduser()
    check_exists(path, "dataset")
    if name := reader or settings.reader:
        return READERS.pick(name).read(path, settings)
    for name in READERS.names():
        if READERS.pick(name).sniff(path):
            return READERS.pick(name).read(path, settings)
    raise OutOfRange(
        "path", str(path), "a folder of class folders, or a table: .csv, .tsv or .parquet"
    )
