"""`command`: what this process was started by, as a person can paste it into a shell."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def command(argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Return the command line of this process, quoted for a shell; "" where none would repeat it.

    However Foveal was started, that is `foveal …`, since every install has it. Ranks were started
    by torchrun: how many there are on a host, and on how many hosts, is known; where several hosts
    meet is not. A script is a script; what was typed into a notebook has no command line.

    Args:
        argv: None: this process's own.
        environment: None: this process's own.

    >>> command(["/usr/lib/python3/foveal/__main__.py", "fit", "my photos", "-o", "m"], {})
    "foveal fit 'my photos' -o m"
    >>> command(["foveal", "fit", "p"], {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"})
    'torchrun --nproc-per-node 4 -m foveal fit p'
    """
    argv = sys.argv if argv is None else argv
    environment = os.environ if environment is None else environment
    program = Path(argv[0] if argv else "")
    ours = program.stem == "foveal" or program.parts[-2:] == ("foveal", "__main__.py")
    if not ours:
        return shlex.join(["python", *argv]) if program.suffix == ".py" else ""
    if environment.get("WORLD_SIZE", "1") == "1":
        return shlex.join(["foveal", *argv[1:]])
    ranks = environment.get("LOCAL_WORLD_SIZE", environment["WORLD_SIZE"])
    hosts = environment.get("GROUP_WORLD_SIZE", "1")
    several = [] if hosts == "1" else ["--nnodes", hosts]
    start = ["torchrun", *several, "--nproc-per-node", ranks, "-m", "foveal"]
    return shlex.join([*start, *argv[1:]])


def command_in(run: Mapping[str, object]) -> str:
    """Return the command in a ``run.json``; earlier versions kept it as a list of words.

    >>> command_in({"command": ["foveal", "fit", "my photos"]})
    "foveal fit 'my photos'"
    """
    kept = run.get("command", "")
    return shlex.join(map(str, kept)) if isinstance(kept, list | tuple) else str(kept)
