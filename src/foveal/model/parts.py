"""Which images a model has seen: a hash prefix and the part of every row, in plain text.

`test` must never score an image that was trained on, on whatever machine and under whatever
file name it turns up again; 64 bits of its SHA-256 tell, and give nothing of it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from foveal.core.errors import Damaged

PREFIX = 16  # hexadecimal digits kept of each SHA-256


def to_text(parts: Mapping[str, str]) -> bytes:
    r"""Return ``sha256 -> part`` as sorted lines ``PREFIX,PART``; full hashes are cut.

    >>> to_text({"ff" * 32: "test", "00" * 32: "train"})
    b'0000000000000000,train\nffffffffffffffff,test\n'
    """
    lines = sorted(f"{sha[:PREFIX]},{part}\n" for sha, part in parts.items())
    return "".join(lines).encode()


def from_text(content: bytes) -> dict[str, str]:
    """Return prefix -> part.

    Raises:
        Damaged: for a line that is not ``PREFIX,PART``.
    """
    parts = {}
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        prefix, comma, part = line.partition(",")
        if len(prefix) != PREFIX or not comma or not part:
            raise Damaged(f"Line {number} of parts.csv is no hash and part.")
        parts[prefix] = part
    return parts


def seen(ids: Iterable[str], parts: Mapping[str, str], *, part: str) -> list[bool]:
    """Return, for every SHA-256, whether the model knows it as one of ``part``.

    >>> seen(["ab" * 32, "cd" * 32], {"ab" * 8: "train"}, part="train")
    [True, False]
    """
    return [parts.get(sha[:PREFIX]) == part for sha in ids]
