"""The workers that live now, wherever they are: what they listen for, and how much scratch their machines have.

They tell it themselves, in the entry that the queue server keeps of each and forgets soon after its last word.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis
from rq.worker_registration import REDIS_WORKER_KEYS

from apps.jobs import needs, room

FIELDS = ("hostname", "queues", "scratch_used", "scratch_left", "scratch_budget")


@dataclass(frozen=True, slots=True)
class Member:
    host: str
    needs: tuple[str, ...]
    """In the order in which it prefers them; none for a worker of the short queues."""
    used: int
    left: int
    budget: int
    """Bytes of scratch, of the whole machine; a budget of 0 is its disk alone."""


def describe() -> dict[str, int]:
    """This machine's scratch, for a worker to tell."""
    now = room.look()
    return {"scratch_used": now.used, "scratch_left": now.left, "scratch_budget": now.budget}


def members(connection: Redis) -> list[Member]:
    """In two round trips, however many. Raises what the queue server's client raises."""
    pipe = connection.pipeline(transaction=False)
    for key in connection.smembers(REDIS_WORKER_KEYS):
        pipe.hmget(key, FIELDS)
    return [
        _read(*(value.decode() if value else "" for value in row))
        for row in pipe.execute()
        # Of one that died its name may be listed for a while.
        if row[1]
    ]


def _read(host: str, queues: str, used: str, left: str, budget: str) -> Member:
    return Member(host, needs.among(queues.split(",")), int(used or 0), int(left or 0), int(budget or 0))
