"""Ranks meet under a name of their own, so that what was left by ranks now dead misleads nobody.

``torchrun`` keeps one store over all of its restarts (torch 2.15), and under the
keys of a process group lie the addresses of the ranks before. A rank that reads one of them before
its new owner has written there waits for a process that was killed. How often a host restarted is
no common name either: hosts count for themselves. So the first rank makes up a name, and gives it
to whoever shows it a sign that no other process can have made.
"""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Thread
from uuid import uuid4

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from foveal.core.errors import FovealError

_PAUSE_S = 0.02
_HEARD_S = 0.2  # until a signal is heard, at most


def store_of(rank: int, ranks: int, *, patience: timedelta) -> Store:
    """Return what the ranks of this start tell each other by, once all are there.

    Ctrl-C and SIGTERM are heard meanwhile.

    Raises:
        FovealError: if a rank does not come in time.
    """
    found: list[Store | Exception] = []

    def meet() -> None:
        try:
            store, *_ = next(rendezvous("env://", rank, ranks, timeout=patience))
            found.append(meeting(store, rank, ranks, patience=patience))
        except Exception as error:  # noqa: BLE001 — it is raised where it can be heard
            found.append(error)

    waiting = Thread(target=meet, daemon=True)  # torch waits where no signal is heard
    waiting.start()
    while waiting.is_alive():
        waiting.join(_HEARD_S)
    (outcome,) = found
    if isinstance(outcome, FovealError):
        raise outcome
    if isinstance(outcome, Exception):
        raise FovealError(f"The ranks could not meet: {outcome}".splitlines()[0]) from outcome
    return outcome


def meeting(store: Store, rank: int, ranks: int, *, patience: timedelta) -> Store:
    """Return a part of ``store`` that only the ranks of this start know, once all are there.

    Args:
        store: which ranks that are dead may have written to.
        rank: of this process, from 0.
        ranks: how many there are.
        patience: how long to wait for the others.

    Raises:
        FovealError: if a rank does not come in time.
    """
    sign = uuid4().hex
    if rank == 0:
        _invite(store, sign, ranks, patience)
        return PrefixStore(sign, store)
    store.set(f"sign of rank {rank}", sign)
    try:
        store.wait([f"name for {sign}"], patience)
    except RuntimeError as error:
        raise _missing("the first rank", patience) from error
    name = store.get(f"name for {sign}").decode()
    store.add(f"{name} has", 1)
    return PrefixStore(name, store)


def _invite(store: Store, name: str, ranks: int, patience: timedelta) -> None:
    """Answer every sign, those of the dead too, until as many as live have taken the name."""
    deadline, answered = time.monotonic() + patience.total_seconds(), set[bytes]()
    while (there := store.add(f"{name} has", 0)) < ranks - 1:
        for other in range(1, ranks):
            if store.check([f"sign of rank {other}"]):
                sign = store.get(f"sign of rank {other}")
                if sign not in answered:
                    store.set(f"name for {sign.decode()}", name)
                    answered.add(sign)
        if time.monotonic() > deadline:
            raise _missing(f"{ranks - 1 - there} of {ranks} ranks", patience)
        time.sleep(_PAUSE_S)


def _missing(who: str, patience: timedelta) -> FovealError:
    return FovealError(
        f"{who[0].upper()}{who[1:]} did not come within {patience}.",
        hint="Look at what the other ranks said; start all of them with the same torchrun command.",
    )
