"""Who is next: start-time fair queueing between callers, charged in seconds of work.

Source: P. Goyal, H. Vin, H. Cheng, Start-time fair queueing, SIGCOMM 1996.
"""

from __future__ import annotations

_SMOOTHING = 0.2
"""Weight of the latest image in the mean duration of a model's images."""

_MAX_TAGS = 1024
"""Callers remembered before those are forgotten to whom nothing is charged any more."""


class Durations:
    """How long the images of each model take."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def learn(self, model: str, seconds: float) -> None:
        """Take note of how long an image took."""
        known = self._means.get(model, seconds)
        self._means[model] = known + _SMOOTHING * (seconds - known)

    def mean(self, model: str) -> float:
        """Seconds that an image of a model takes on average; 0 as long as it is unknown."""
        return self._means.get(model, 0.0)

    @property
    def longest_mean(self) -> float:
        """Seconds that an image of the slowest model takes on average; 0 as long as none is known."""
        return max(self._means.values(), default=0.0)

    def charge(self, model: str) -> float:
        """Seconds that an image of a model is charged: its mean, or any model's as long as it is unknown."""
        return self.mean(model) or max(self._means.values(), default=1.0) or 1.0


class FairShares:
    """The tags of start-time fair queueing: by them turns are given out, the smallest first."""

    def __init__(self) -> None:
        self._virtual_time = 0.0
        self._latest_tags: dict[str, float] = {}

    def charge(self, caller: str, seconds: float) -> float:
        """Charge a caller for work that waits; the tag of the work."""
        tag = max(self._virtual_time, self._latest_tags.get(caller, 0.0)) + seconds
        self._latest_tags[caller] = tag
        if len(self._latest_tags) > _MAX_TAGS:
            self._latest_tags = {
                caller: latest for caller, latest in self._latest_tags.items() if latest > self._virtual_time
            }
        return tag

    def correct(self, caller: str, seconds: float) -> None:
        """Charge a caller so much more, or less, than before, if anything is remembered of it."""
        if caller in self._latest_tags:
            self._latest_tags[caller] += seconds

    def begun(self, start: float) -> None:
        """Take note that work is begun whose tag was `start` without its charge."""
        self._virtual_time = max(self._virtual_time, start)

    def clear(self) -> None:
        """Forget everybody: nobody is here to whom fairness is owed."""
        self._latest_tags.clear()
        self._virtual_time = 0.0
