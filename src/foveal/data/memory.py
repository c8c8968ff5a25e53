"""The ledger: an image once held out stays held out on this machine.

A split that is stratified, exact and stateless at once does not exist (``docs/decisions/0003``):
what an added picture does to the shares has to be settled by some image changing its part, unless
it is remembered where the others were. So ``fit`` remembers before it trains, and asks again next
time. A forgotten ledger costs comparability, not honesty: every bundle carries the parts of its
own images, and ``test`` goes by those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from foveal.core.errors import FovealError
from foveal.core.files import cache_folder, write_file
from foveal.core.listener import SILENT, Listener
from foveal.core.settings import read_json
from foveal.data.manifest import PARTS, Manifest, Part

FORMAT = 1
HEX = frozenset("0123456789abcdef")


def split_key(manifest: Manifest, *, test_share: float, seed: int) -> str:
    """Return the name of the ledger of one folder, split in one way.

    Another share, seed or grouping asks for another split, so it has a ledger of its own.
    """
    way = [str(manifest.root.resolve()), manifest.grouping, float(test_share), seed]
    return hashlib.sha256(json.dumps(way).encode()).hexdigest()[:32]


def remembered(key: str, *, listener: Listener = SILENT) -> dict[str, Part]:
    """Return the part of every image of the ledger ``key``, by hash prefix; {} for a new one.

    A damaged ledger is said and ignored: refusing to fit would help nobody, and the split that
    is made without it is a good one, if not the one of last time.
    """
    path = _path(key)
    try:
        return _parse(path.read_bytes(), path)
    except FileNotFoundError:
        return {}
    except (FovealError, OSError) as error:
        listener.say(
            f"{error} It is ignored: images may be in another part than last time, so that "
            "numbers before and after do not compare. The next fit writes it anew."
        )
        return {}


def remember(key: str, parts: Mapping[str, Part]) -> None:
    """Add the parts of images to the ledger ``key``; what it says of others stays.

    For an image that it knows already, the new part holds: ``split`` moves one only where a new
    picture tied a trained unit to one that was held out. Two processes at the same moment may
    lose what one of them added; the hash order then assigns those images again, mostly alike.

    Raises:
        DiskFull: when there is no room; the ledger is as it was.
    """
    merged = {**remembered(key), **parts}
    listed = {
        part: sorted(prefix for prefix, other in merged.items() if other == part) for part in PARTS
    }
    content = json.dumps({"format": FORMAT, "parts": listed}, separators=(",", ":"))
    write_file(_path(key), content.encode() + b"\n")


def _path(key: str) -> Path:
    return cache_folder() / "parts" / f"{key}.json"


def _parse(content: bytes, path: Path) -> dict[str, Part]:
    damaged = FovealError(f"The ledger {path} is damaged.")
    values = read_json(content, where=f"The ledger {path}")
    if values.get("format") != FORMAT or not isinstance(values.get("parts"), dict):
        raise damaged
    out: dict[str, Part] = {}
    for part in PARTS:
        listed = values["parts"].get(part)
        if not isinstance(listed, list) or not all(_is_prefix(name) for name in listed):
            raise damaged
        out.update(dict.fromkeys(listed, part))
    if len(out) != sum(len(listed) for listed in values["parts"].values()):
        raise damaged  # an image in two parts
    return out


def _is_prefix(name: object) -> bool:
    return isinstance(name, str) and bool(name) and HEX.issuperset(name)
