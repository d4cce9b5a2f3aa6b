"""From the samples of a trial to what is kept of it. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from maskweave_bench.histogram import Histogram
from maskweave_bench.loops import UNANSWERED
from maskweave_bench.record import Bin, Block, ClientUse, KindResult, Load, PartMean, StallMark, Trial
from maskweave_bench.samples import OK, SKIPPED_LATE, Samples
from maskweave_bench.stages import break_down
from maskweave_bench.stalls import find_stalls
from maskweave_bench.steady import find_steady

_BLOCKS = 20
_FEWEST_BINS, _MOST_BINS = 20, 120
_REQUESTS_OF_A_BIN = 6

WAITED = (OK, "DEADLINE_EXCEEDED", UNANSWERED)
"""Codes whose latency counts: what was given up after long waiting was slow; without it figures flatter."""

# When the client was the limit.
_MOST_SKIPPED = 0.001
_MOST_BUSY = 0.9
_LEAST_LAG = 0.002
_MOST_LAG = 0.1


def summarize(
    samples: Samples,
    *,
    target: str,
    load: Load,
    repeat: int,
    started: float,
    warmup_seconds: float,
    kinds: Sequence[str],
    processes: int,
    cpu: float,
    loop_busy: float,
    metrics: Mapping[str, float],
    lag_tolerance: float | None = None,
) -> Trial:
    """What is kept of a trial.

    Args:
        samples: Of all client processes.
        target: Name of the target.
        load: The load.
        repeat: Which repeat it is.
        started: Unix time of its begin.
        warmup_seconds: What is left out in any case; a ramp is measured whole.
        kinds: Names of the scenario's requests.
        processes: Client processes.
        cpu: Share of one core that each used, on average.
        loop_busy: Share of one core that the busiest event loop used.
        metrics: What the service's metrics say.
        lag_tolerance: As for `client_limits`.
    """
    steady = find_steady(samples, load.seconds, warmup_seconds=warmup_seconds)
    # A ramp and a trace are not meant to be steady.
    begin = steady.begin if load.kind not in {"ramp", "trace"} else warmup_seconds
    measured = samples.where((samples.due >= begin) & (samples.due < load.seconds))
    seconds = max(load.seconds - begin, 1e-9)
    late = int(measured.is_code(SKIPPED_LATE).sum())
    latency = _latency(measured)
    lag = measured.lag[np.isfinite(measured.lag)]
    answered = measured.where(measured.ok)
    client = ClientUse(
        processes=processes,
        cpu=cpu,
        loop_busy=loop_busy,
        lag_p99=float(np.percentile(lag, 99)) if lag.size else None,
        lag_max=float(lag.max()) if lag.size else None,
        skipped_late=late,
    )
    breakdown = break_down(measured)
    # Moments of a few requests each: of one alone there is no median.
    bins = min(max(len(samples) // _REQUESTS_OF_A_BIN, _FEWEST_BINS), _MOST_BINS)
    return Trial(
        target=target,
        load=load,
        repeat=repeat,
        started=started,
        measured_from=begin,
        measured_seconds=seconds,
        state=steady.state,
        drift=steady.drift,
        requests=len(measured),
        codes=measured.counts(),
        per_second=len(answered) / seconds,
        images_per_second=float(answered.images.sum()) / seconds,
        bytes_per_second=float(answered.received.sum()) / seconds,
        latency=Histogram.of(latency).encode(),
        service_time=Histogram.of(answered.service_time).encode(),
        lag=Histogram.of(lag).encode(),
        kinds=[_kind(name, measured.where(measured.kind == index)) for index, name in enumerate(kinds)],
        blocks=[
            Block(
                seconds=seconds / _BLOCKS,
                requests=_due(part),
                failed=_failed(part),
                latency=Histogram.of(_latency(part)).encode(),
            )
            for part in _cut(measured, begin, seconds, _BLOCKS)
        ],
        timeline=[
            _bin(part, index * load.seconds / bins)
            for index, part in enumerate(_cut(samples, 0.0, load.seconds, bins))
        ],
        stalls=[StallMark(**asdict(stall)) for stall in find_stalls(samples)],
        parts=[PartMean(**asdict(part)) for part in breakdown.parts],
        overlap=breakdown.overlap,
        client=client,
        limits=client_limits(
            load, client, len(measured), Histogram.of(latency).percentile(50), lag_tolerance
        ),
        metrics=dict(metrics),
    )


def client_limits(
    load: Load, client: ClientUse, requests: int, p50: float, lag_tolerance: float | None = None
) -> list[str]:
    """Why the client, and not the service, was the limit; empty when it was not.

    Args:
        load: The load.
        client: What it cost the client.
        requests: How many were due.
        p50: Median latency in seconds, NaN without any.
        lag_tolerance: Seconds by which one request in a hundred may be sent late; None for a tenth of the
            median, and 2 ms at least.
    """
    found = []
    if client.skipped_late > _MOST_SKIPPED * requests:
        found.append(f"{client.skipped_late} of {requests} requests could not be sent in time")
    allowed = lag_tolerance
    if allowed is None:
        allowed = max(_LEAST_LAG, 0.0 if math.isnan(p50) else _MOST_LAG * p50)
    if load.is_open and client.lag_p99 is not None and client.lag_p99 > allowed:
        found.append(
            f"one request in a hundred was sent {client.lag_p99 * 1e3:.1f} ms late or later "
            f"({allowed * 1e3:.1f} ms are allowed)"
        )
    if client.loop_busy > _MOST_BUSY:
        found.append(f"a client process was busy {client.loop_busy:.0%} of the time")
    return found


def _latency(samples: Samples) -> NDArray[np.float64]:
    return samples.latency[samples.is_code(*WAITED)]


def _due(samples: Samples) -> int:
    """Requests that the service was to answer: not those that the client failed to send."""
    return len(samples) - int(samples.is_code(SKIPPED_LATE).sum())


def _failed(samples: Samples) -> int:
    return _due(samples) - int(samples.ok.sum())


def _kind(name: str, samples: Samples) -> KindResult:
    return KindResult(
        name=name,
        requests=_due(samples),
        failed=_failed(samples),
        latency=Histogram.of(_latency(samples)).encode(),
    )


def _cut(samples: Samples, begin: float, seconds: float, parts: int) -> list[Samples]:
    index = np.clip(((samples.due - begin) / seconds * parts).astype(np.int64), 0, parts - 1)
    return [samples.where(index == number) for number in range(parts)]


def _bin(samples: Samples, begin: float) -> Bin:
    latency = _latency(samples)
    if not latency.size:
        return Bin(begin=begin, requests=len(samples), failed=_failed(samples))
    p50, p99 = (float(each) for each in np.percentile(latency, (50, 99), method="inverted_cdf"))
    return Bin(
        begin=begin,
        requests=len(samples),
        failed=_failed(samples),
        p50=p50,
        p99=p99,
        max=float(latency.max()),
    )
