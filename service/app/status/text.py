"""A gateway's status as text for people on call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.app.status.types import Load, Period, StageStatus, Status, Traffic

_COLUMN = 11
"""Width of the names on the left."""

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def status_text(status: Status) -> str:
    """The whole text, without a line break at its end."""
    blocks = [list(_facts(status)), *_tables(status)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _facts(status: Status) -> Iterator[str]:
    since = "" if status.uptime_seconds is None else f", up {duration(status.uptime_seconds)}"
    version = f" {status.version}" if status.version else ""
    yield f"maskweave{version} at {status.address}: {status.health}{since}"
    for problem in status.problems:
        yield _line("problem", problem)
    if status.engine_ready is not None:
        yield _line("engine", _engine(status))
    for index, model in enumerate(status.models or ()):
        conditions = ", ".join(model.conditions)
        also = f" (also {', '.join(model.other_versions)})" if model.other_versions else ""
        name, size = f"{model.name} {model.version}{also}", f"{model.width} x {model.height}"
        facts = f"{name}  {size}  {model.method}: {conditions}"
        yield _line("" if index else "models", facts)
    if status.load is not None and status.recent is not None and status.total is not None:
        yield from _load(status.load, status.recent, status.total)


def _engine(status: Status) -> str:
    runtime = status.runtime
    what = " ".join(
        runtime[name] for name in ("runtime", "runtime_version", "precision") if runtime.get(name)
    )
    why = runtime.get("why", "")
    if status.candidate_seconds:
        measured = (f"{name} {seconds_text(each)}" for name, each in status.candidate_seconds.items())
        why = f"{why}: {', '.join(measured)}"
    what = f"{what} ({why})" if why else what
    words = [runtime.get("engine", ""), what, "ready" if status.engine_ready else "NOT READY"]
    if status.model_load_seconds:
        slowest = max(status.model_load_seconds, key=lambda name: status.model_load_seconds[name])
        seconds = status.model_load_seconds[slowest]
        words.append(f"slowest load {seconds_text(seconds)} ({slowest})")
    return ", ".join(filter(None, words))


def _load(load: Load, recent: Period, total: Period) -> Iterator[str]:
    wait = seconds_text(_either(recent.queue_wait_p99, total.queue_wait_p99))
    yield _line(
        "queue",
        f"{_count(load.queue_images, 'image')} waiting, {load.queue_seconds:.2f} s of work; "
        f"{load.images_in_progress} in progress; p99 of the wait {wait}",
    )
    busy = recent.worker_utilisation
    yield _line(
        "workers",
        f"{load.workers_busy} of {load.workers} busy, {_count(load.worker_tasks_waiting, 'task')} waiting"
        + ("" if busy is None else f"; {_percent(busy)} busy over {recent.seconds:.1f} s"),
    )
    lag = _either(recent.loop_lag_p99, total.loop_lag_p99)
    yield _line("event loop", f"p99 of the lag {seconds_text(lag)}; {_count(load.event_loop_tasks, 'task')}")
    methods = ", ".join(f"{method} {count}" for method, count in load.calls.items())
    yield _line(
        "calls",
        f"{sum(load.calls.values())} in progress{f' ({methods})' if methods else ''}; "
        f"{_count(load.streams, 'stream')}, {_count(load.sessions, 'session')} of Paint",
    )
    yield _line(
        "traffic",
        f"{recent.images_per_second:.1f} images/s; in {_bytes(recent.received_bytes_per_second)}/s, "
        f"out {_bytes(recent.sent_bytes_per_second)}/s; memory {_bytes(load.memory_bytes)}",
    )
    yield _line("cache", _cache(load, total))
    for name, counts in (
        ("refused", total.shed),
        ("cancelled", total.cancelled),
        ("failures", total.failures),
    ):
        yield _line(name, ", ".join(f"{cause} {count}" for cause, count in counts.items()) or "none")


def _cache(load: Load, total: Period) -> str:
    if not load.cache_capacity_bytes:
        return "none"
    hits = "no lookups yet"
    if total.cache_lookups:
        share = total.cache_hits / total.cache_lookups
        hits = f"{_percent(share)} of {_count(total.cache_lookups, 'lookup')} found"
    entries = "1 entry" if load.cache_entries == 1 else f"{load.cache_entries} entries"
    return f"{hits}; {entries}, {_bytes(load.cache_bytes)} of {_bytes(load.cache_capacity_bytes)}"


def _tables(status: Status) -> Iterator[list[str]]:
    if status.recent is None or status.total is None:
        return
    recent, total = status.recent, status.total
    now = f"last {recent.seconds:.1f} s"
    yield _table(
        ("method", f"{now}: per s", "p50", "p99", "failed", "since the start: calls", "p50", "p99", "failed"),
        [
            (method, *_rate(recent.traffic.get(method)), f"{ever.calls}", *_rate(ever)[1:])
            for method, ever in total.traffic.items()
        ],
    )
    yield _table(
        ("stage", f"{now}: runs", "p50", "p99", "since the start: runs", "p50", "p99"),
        [(stage, *_runs(recent.stages.get(stage)), *_runs(ever)) for stage, ever in total.stages.items()],
    )


def _rate(traffic: Traffic | None) -> tuple[str, str, str, str]:
    if traffic is None:
        return "0.0", "-", "-", "-"
    quantiles = seconds_text(traffic.p50), seconds_text(traffic.p99)
    return f"{traffic.per_second:.1f}", *quantiles, _percent(traffic.failed)


def _runs(stage: StageStatus | None) -> tuple[str, str, str]:
    if stage is None:
        return "0", "-", "-"
    return f"{stage.runs}", seconds_text(stage.p50), seconds_text(stage.p99)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, the first to the left and the others to the right; nothing without rows."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def _line(name: str, text: str) -> str:
    return f"{name:<{_COLUMN}}{text}"


def seconds_text(seconds: float | None) -> str:
    """A latency: `14.2 ms`, `1.30 s`."""
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def duration(seconds: float) -> str:
    """A long time by its two largest units: `3 h 12 min`."""
    left, words = round(seconds), list[str]()
    for size, unit in _UNITS:
        count, left = divmod(left, round(size))
        if count or words:
            words.append(f"{count} {unit}")
    return " ".join(words[:2]) or "0 s"


def _either(recent: float | None, total: float | None) -> float | None:
    return total if recent is None else recent


def _percent(part: float) -> str:
    return f"{part * 100:.0f} %" if part in {0.0, 1.0} or part >= 0.1 else f"{part * 100:.1f} %"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
