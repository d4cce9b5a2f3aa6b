"""A real Prometheus on this machine: it scrapes what a test tells it to, and answers its questions."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.gateway_process import wait_until
from tests.support.promtool import write_rules

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """A running Prometheus.

    Args:
        folder: An empty folder.
        groups: Groups of rules that it evaluates.
        interval: Seconds between two scrapes, and between two evaluations.
    """

    def __init__(self, folder: Path, groups: Sequence[Mapping[str, Any]], interval: int = 1) -> None:
        self._address = ""  # known once it listens
        self._targets = folder / "targets.json"
        self.scrape([])
        config = {
            "global": {"scrape_interval": f"{interval}s", "evaluation_interval": f"{interval}s"},
            "rule_files": [str(write_rules(folder / "rules.yaml", groups))],
            "scrape_configs": [
                {
                    "job_name": "gateways",
                    "file_sd_configs": [{"files": [str(self._targets)], "refresh_interval": f"{interval}s"}],
                }
            ],
        }
        (folder / "prometheus.yaml").write_text(json.dumps(config))  # JSON is YAML
        self._log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def scrape(self, targets: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Scrape these from now on: `host:port`, and the labels that a ServiceMonitor would give."""
        file = self._targets.with_suffix(".new")
        file.write_text(json.dumps([{"targets": [each], "labels": dict(labels)} for each, labels in targets]))
        file.replace(self._targets)

    def get(self, path: str, **parameters: str) -> Any:
        """What a page of its API answers."""
        query = urllib.parse.urlencode(parameters)
        with _opener.open(f"http://{self._address}{path}?{query}", timeout=60) as reply:
            return json.loads(reply.read())["data"]

    def value(self, expression: str) -> float | None:
        """The one value of an expression now; None if it has none."""
        found = self.get("/api/v1/query", query=expression)["result"]
        assert len(found) <= 1, f"{expression} has {len(found)} values"
        return float(found[0]["value"][1]) if found else None

    def values(self, expression: str, at: float | None = None) -> list[float]:
        """All values of an expression at a Unix time, now when None."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        found = self.get("/api/v1/query", query=expression, **when)["result"]
        return [float(each["value"][1]) for each in found]

    def wait_for_value(self, expression: str, wanted: float) -> None:
        """Wait until an expression has a value."""
        wait_until(
            lambda: self.value(expression) == wanted,
            lambda: f"{expression} did not become {wanted}: {self.value(expression)}",
        )

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, as it was last evaluated."""
        groups = self.get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def ready(self) -> bool:
        """Whether it answers."""
        assert self.process.poll() is None, self.log()
        ports = listening_ports(self.process.pid)
        if not ports:
            return False
        self._address = f"127.0.0.1:{ports[0]}"
        try:
            with _opener.open(f"http://{self._address}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def log(self) -> str:
        """What it has printed."""
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


def listening_ports(process: int) -> list[int]:
    """The TCP ports of IPv4 on which a process listens, as the kernel has them: it got free ones."""
    folder = Path(f"/proc/{process}")
    targets = set()
    for descriptor in (folder / "fd").iterdir():
        with suppress(OSError):  # closed since it was listed
            targets.add(str(descriptor.readlink()))
    rows = [line.split() for line in (folder / "net" / "tcp").read_text().splitlines()[1:]]
    listens = "0A"
    return [
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == listens and f"socket:[{row[9]}]" in targets
    ]


@contextmanager
def prometheus(folder: Path, groups: Sequence[Mapping[str, Any]] = ()) -> Iterator[Prometheus]:
    """A Prometheus that is up inside this context."""
    running = Prometheus(folder, groups)
    try:
        wait_until(running.ready, lambda: "Prometheus did not start")
        yield running
    finally:
        running.stop()
