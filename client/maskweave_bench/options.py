"""Options that the commands share, and what they stand for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from maskweave_bench.loops import Bounds
from maskweave_bench.scenario import Scenario, load_scenario
from maskweave_bench.target import Target, TargetError, Tls, check, parse_target
from maskweave_bench.trials import Options

API_KEY_VARIABLE = "MASKWEAVE_API_KEY"

_Command = TypeVar("_Command", bound=Callable[..., Any])
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Common:
    """What the shared options say.

    Attributes:
        targets: What is measured.
        scenario: What is asked.
        options: What holds for all trials.
        processes: How many client processes.
        repeats: Of each load.
        seconds: Of each trial.
        output: The file of results.
        labels: What the user adds to the environment.
    """

    targets: list[Target]
    scenario: Scenario
    options: Options
    processes: int
    repeats: int
    seconds: float
    output: Path
    labels: Mapping[str, str]


def common_options(command: _Command) -> _Command:
    """The options that every measuring command has."""
    options = [
        # What is measured
        click.option(
            "--target",
            "targets",
            multiple=True,
            default=("localhost:50051",),
            metavar="[NAME=]HOST:PORT[,...]",
            help="A service, or several addresses of a fleet. Given several times: compared.",
        ),
        click.option("--tls", is_flag=True, help="Encrypt, and trust the system's certificates."),
        click.option("--tls-root", type=FILE, help="PEM of the certificates to trust; implies --tls."),
        click.option("--tls-certificate", type=FILE, help="PEM of the client's own certificate."),
        click.option("--tls-key", type=FILE, help="PEM of its private key."),
        click.option(
            "--tls-name", metavar="NAME", help="Name in the service's certificate, if not the address."
        ),
        click.option(
            "--api-key-file",
            type=FILE,
            help=f"File with the key to send; without, the variable {API_KEY_VARIABLE}, if it is set.",
        ),
        click.option(
            "--allow-insecure-key", is_flag=True, help="Send the key unencrypted to other machines too."
        ),
        click.option(
            "--metrics",
            multiple=True,
            metavar="[NAME=]URL",
            help="A page of Prometheus metrics of a target (of its Triton too): give it several times.",
        ),
        click.option(
            "--connections",
            type=click.IntRange(1, 256),
            default=1,
            help="Connections of each client process to each address.",
        ),
        # What is asked
        click.option(
            "--scenario",
            default="label-map",
            help="A file, or the name of one of `scenarios`.",
        ),
        click.option("--model", help="The model to ask for, in place of the scenario's."),
        # How long and how hard
        click.option(
            "--seconds", type=click.FloatRange(0.5, 86400), default=10.0, help="Length of each trial."
        ),
        click.option(
            "--warmup",
            type=click.FloatRange(0),
            default=1.0,
            help="Seconds left out at the beginning of each trial; more until the latency has settled.",
        ),
        click.option(
            "--repeats", type=click.IntRange(1, 100), default=5, help="How often each trial is repeated."
        ),
        click.option(
            "--processes",
            type=click.IntRange(1, 64),
            default=lambda: 2 if (os.cpu_count() or 1) >= 4 else 1,
            show_default="1, or 2 from 4 cores",
            help="Client processes.",
        ),
        click.option(
            "--max-requests",
            type=click.IntRange(1, 5_000_000),
            default=200_000,
            help="Most requests of one trial.",
        ),
        click.option(
            "--max-lag-ms",
            type=click.FloatRange(1),
            default=100.0,
            help="A request that cannot be sent within this time after it is due is skipped and counted.",
        ),
        click.option(
            "--lag-tolerance-ms",
            type=click.FloatRange(0.01),
            show_default="a tenth of the median, and 2 at least",
            help="If more than one request in a hundred is sent later than this, the trial does not count.",
        ),
        click.option(
            "--max-outstanding",
            type=click.IntRange(1, 100_000),
            default=2048,
            help="Most unanswered requests of a client process; one that is due beyond counts as failed.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**32 - 1),
            help="Seed of arrivals and requests. Default: another one each time, so that nothing is cached.",
        ),
        # What becomes of it
        click.option(
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            default=Path("maskweave-bench.json"),
            help="File of results; the page and the Markdown are beside it, as .html and .md.",
        ),
        click.option(
            "--label",
            "labels",
            multiple=True,
            metavar="KEY=VALUE",
            help="A note for the results, for example revision=1a2b3c or threads=2.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_common(given: Mapping[str, Any]) -> Common:
    """What the shared options say.

    Raises:
        click.BadParameter: One does not hold what it must.
        ScenarioError: The scenario does not.
        TargetError: A target does not.
    """
    names_and_addresses = [parse_target(text) for text in given["targets"]]
    if len(names_and_addresses) > 4:
        raise TargetError(f"target: got {len(names_and_addresses)}; allowed: at most 4 in one benchmark")
    names = [name for name, _ in names_and_addresses]
    metrics = _metrics(given["metrics"], names)
    key = _api_key(given["api_key_file"])
    tls = _tls(given)
    targets = [
        Target(name, addresses, tls, key, tuple(metrics[name]), given["connections"])
        for name, addresses in names_and_addresses
    ]
    check(targets, allow_insecure_key=given["allow_insecure_key"])
    scenario = load_scenario(given["scenario"])
    if given["model"]:
        scenario = scenario.model_copy(update={"model": given["model"]})
    seconds, warmup = given["seconds"], given["warmup"]
    if warmup > seconds / 2:
        raise click.BadParameter(
            f"got {warmup:g} s of {seconds:g} s; allowed: at most half of --seconds", param_hint="--warmup"
        )
    longest = max(
        ask.timeout_seconds + (ask.session_seconds if ask.rpc == "paint" else 0) for ask in scenario.requests
    )
    chosen = given["seed"]
    return Common(
        targets=targets,
        scenario=scenario,
        options=Options(
            warmup_seconds=warmup,
            # Beyond the deadlines of the calls nothing is waited for.
            bounds=Bounds(given["max_lag_ms"] / 1e3, given["max_outstanding"], longest + 2.0),
            max_requests=given["max_requests"],
            seed=chosen if chosen is not None else scenario.seed,
            first_seed=chosen if chosen is not None else secrets.randbelow(2**32),
            lag_tolerance=given["lag_tolerance_ms"] / 1e3 if given["lag_tolerance_ms"] else None,
        ),
        processes=given["processes"],
        repeats=given["repeats"],
        seconds=seconds,
        output=given["output"],
        labels=dict(_label(text) for text in given["labels"]),
    )


def _metrics(given: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in names}
    for text in given:
        name, equals, url = text.partition("=")
        if not equals or "://" in name:
            name, url = names[0], text
        if name not in found:
            raise click.BadParameter(
                f"got {text!r}; allowed: [NAME=]URL with the name of a target: {', '.join(names)}",
                param_hint="--metrics",
            )
        found[name].append(url)
    return found


def _api_key(file: Path | None) -> str | None:
    if file is not None:
        return file.read_text().strip()
    return os.environ.get(API_KEY_VARIABLE) or None


def _tls(given: Mapping[str, Any]) -> Tls | None:
    pem = {
        name: file and file.read_bytes()
        for name, file in given.items()
        if name in {"tls_root", "tls_certificate", "tls_key"}
    }
    if (pem["tls_certificate"] is None) != (pem["tls_key"] is None):
        raise click.UsageError("--tls-certificate and --tls-key go together")
    if not (given["tls"] or any(pem.values()) or given["tls_name"]):
        return None
    return Tls(pem["tls_root"], pem["tls_certificate"], pem["tls_key"], given["tls_name"])


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"got {text!r}; allowed: KEY=VALUE", param_hint="--label")
    return key, value
