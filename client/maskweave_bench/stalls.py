"""Times at which nothing was answered although something was asked. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskweave_bench.samples import SKIPPED_LATE, SKIPPED_OUTSTANDING, Samples

_SHORTEST = 0.1
_MEDIANS = 5.0
_GAPS = 10.0


@dataclass(frozen=True, slots=True)
class Stall:
    """A stall, in seconds from the begin of the load.

    Attributes:
        begin: The last answer before it, or the time at which the first request waiting in it was due.
        end: The first answer after it.
        waiting: How many requests were due before its end and unanswered.
    """

    begin: float
    end: float
    waiting: int


def find_stalls(samples: Samples) -> list[Stall]:
    """Find stalls: gaps between answers in which a request was waiting all the time.

    A gap counts when it is longer than five times the median latency, than ten times the median gap, and
    than a tenth of a second: a service that takes long for every request does not stall.
    """
    asked = samples.where(~samples.is_code(SKIPPED_LATE, SKIPPED_OUTSTANDING))
    if len(asked) < 10:
        return []
    ends = np.sort(asked.done)
    gaps = np.diff(ends)
    # From answered requests alone: what failed at once says nothing of how long an answer takes.
    answered = asked.latency[asked.ok]
    usual = float(np.median(answered)) if answered.size else 0.0
    shortest = max(_SHORTEST, _MEDIANS * usual, _GAPS * float(np.median(gaps)))
    stalls = []
    for index in np.flatnonzero(gaps > shortest).tolist():
        before, after = float(ends[index]), float(ends[index + 1])
        waiting = (asked.due < after) & (asked.done >= after)
        begin = max(before, float(asked.due[waiting].min())) if waiting.any() else after
        if after - begin > shortest:
            stalls.append(Stall(begin, after, int(waiting.sum())))
    return stalls
