"""The benchmark against servers whose delays are known, through real processes and sockets.

The delays that are put in are much longer than what a busy machine adds, and what is asserted leaves room.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from maskweave_bench.histogram import Histogram
from maskweave_bench.results import Results, read_results
from tests.support.certificates import Authority
from tests.support.delay_server import Delays, delay_server
from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.key_file import new_key, write_keys

# Loads last as long as they last, and a busy machine starts processes slowly.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# A machine that stands still adds to what is measured, but not each time; a wrong count is wrong each time.
ATTEMPTS = 3
# Whether the client is the limit depends on the machine, and is not what is tried here.
PATIENT = ("--max-lag-ms", 5000, "--lag-tolerance-ms", 5000)


def bench(*arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maskweave_bench", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert "Traceback" not in done.stderr, done.stderr
    if code is not None:
        assert done.returncode == code, done.stdout + done.stderr
    return done


def measured(output: Path, *arguments: object) -> Results:
    bench("run", *arguments, *PATIENT, "--repeats", 1, "--warmup", 0, "--output", output)
    return read_results(output)


def test_known_delays_are_recovered_to_their_percentiles(tmp_path: Path) -> None:
    # Of a hundred requests, ninety take 0.1 s, eight 0.4 s and two 0.9 s.
    delays = Delays((0.1,) * 90 + (0.4,) * 8 + (0.9,) * 2)
    load = ("--rate", 50, "--arrivals", "constant", "--seconds", 8, "--processes", 2)
    wanted = ((50, 0.1), (85, 0.1), (94, 0.4), (97, 0.4), (99.2, 0.9))
    with delay_server(delays) as address:
        for attempt in range(ATTEMPTS):
            results = measured(tmp_path / f"{attempt}.json", "--target", address, *load)
            (trial,) = results.trials
            assert trial.client.processes == 2
            assert sum(trial.codes.values()) == trial.codes["OK"] == trial.requests
            latency = Histogram.decode(trial.latency)
            found = {percent: latency.percentile(percent) for percent, _ in wanted}
            assert all(found[percent] >= seconds for percent, seconds in wanted)
            (head,) = (part.mean for part in trial.parts if part.name == "stage head")
            as_put_in = head == pytest.approx(0.5 * (0.09 + 0.032 + 0.018), rel=0.3)
            if as_put_in and all(found[percent] < seconds + 0.25 for percent, seconds in wanted):
                break
        else:
            pytest.fail(f"not what was put in: {found}, {head}")


def test_two_services_are_compared_and_a_slower_one_ends_the_gate(tmp_path: Path) -> None:
    output = tmp_path / "both.json"
    # A machine that stands still for a second in one of the repeats widens the interval until nothing can be
    # told: which is right, and is tried again.
    with delay_server(Delays((0.1,))) as fast, delay_server(Delays((1.0,))) as slow:
        common = ("--rate", 40, "--seconds", 2, "--warmup", 0, "--repeats", 3, *PATIENT)
        both = ("--target", f"fast={fast}", "--target", f"slow={slow}")
        # As CI does: what is served under the name has become slower since the file was written.
        later = ("--target", f"fast={slow}", *common, "--output", tmp_path / "later.json")
        for _ in range(ATTEMPTS):
            done = bench("run", *both, *common, "--gate", "--output", output, code=None)
            gate = bench("run", *later, "--baseline", output, code=None)
            if done.returncode == gate.returncode == 3:
                break
    assert (done.returncode, gate.returncode) == (3, 3), done.stdout + done.stderr + gate.stdout + gate.stderr
    assert "slow is worse than fast" in done.stdout
    assert "slow is worse than fast" in output.with_suffix(".html").read_text()
    assert "fast now is worse than fast before" in gate.stdout
    again = bench(
        "compare", output, output, "--baseline-target", "fast", "--candidate-target", "slow", code=3
    )
    assert "worse" in again.stdout
    back = bench("compare", output, output, "--baseline-target", "slow", "--candidate-target", "fast")
    assert re.search(r"\| p50 \|.*\| better \|", back.stdout)


def test_refusals_are_counted_and_not_taken_for_answers(tmp_path: Path) -> None:
    with delay_server(Delays((0.05,), refuse_every=4)) as address:
        results = measured(tmp_path / "refused.json", "--target", address, "--clients", 2, "--seconds", 3)
    (trial,) = results.trials
    assert trial.codes["RESOURCE_EXHAUSTED"] == pytest.approx(trial.requests / 4, abs=2)
    assert len(Histogram.decode(trial.latency)) == trial.codes["OK"]


def test_the_knee_of_a_service_with_one_server_is_found(tmp_path: Path) -> None:
    output = tmp_path / "knee.json"
    # One request at a time, a tenth of a second each: nothing beyond 10/s can last.
    with delay_server(Delays((0.1,), servers=1)) as address:
        done = bench(
            "knee",
            "--target",
            address,
            "--p99-ms",
            2000,
            "--first-rate",
            4,
            *PATIENT,
            "--resolution",
            0.5,
            "--seconds",
            5,
            "--repeats",
            1,
            "--warmup",
            0,
            "--output",
            output,
            code=None,
        )
    (knee,) = read_results(output).knees
    assert done.returncode == 0
    assert 2 <= knee.rate <= 14
    assert knee.high is not None
    assert knee.low <= knee.rate <= knee.high <= 32
    assert "keeps p99 at most 2 s" in done.stdout


def test_a_session_of_painting_is_measured_update_by_update(tmp_path: Path) -> None:
    scenario = tmp_path / "paint.yaml"
    scenario.write_text("name: short\nrequests: [{rpc: paint, session_seconds: 2, updates_per_second: 20}]\n")
    with delay_server(Delays()) as address:
        results = measured(
            tmp_path / "paint.json",
            "--target",
            address,
            "--clients",
            2,
            "--seconds",
            4,
            "--scenario",
            scenario,
        )
    (trial,) = results.trials
    assert trial.codes == {"OK": trial.requests}
    assert trial.requests > 20
    assert 0 < trial.images_per_second < 0.8 * trial.per_second  # a frame answers several updates


def test_the_real_gateway_takes_a_scenario_of_everything(gateway: GatewayProcess, tmp_path: Path) -> None:
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(
        "requests:\n"
        "  - {rpc: synthesize}\n"
        "  - {name: runs, rpc: synthesize, encoding: run_length, image_format: jpeg, seeds: repeated}\n"
        "  - {rpc: synthesize_stream, images: 3, encoding: raw}\n"
        "  - {rpc: paint, session_seconds: 1, weight: 0.2}\n"
        "  - {rpc: get_model}\n"
        "  - {rpc: list_models}\n"
    )
    output = tmp_path / "mine.json"
    results = measured(
        output,
        "--target",
        f"gateway={gateway.address}",
        "--metrics",
        f"gateway={gateway.http}/metrics",
        "--scenario",
        scenario,
        "--model",
        "faces64",
        "--clients",
        3,
        "--seconds",
        4,
        "--label",
        "threads=1",
    )
    (trial,) = results.trials
    assert trial.codes == {"OK": trial.requests}
    assert {kind.name for kind in trial.kinds if kind.requests} == {kind.name for kind in trial.kinds}
    assert trial.images_per_second > 0
    assert any(part.name.startswith("stage faces64_") and part.mean > 0 for part in trial.parts)
    assert trial.metrics["server cpu seconds"] > 0
    assert results.targets[0].model_version == "1.2.3"
    assert results.environment["labels"] == {"threads": "1"}
    assert json.loads(output.read_text())["format"] == "maskweave-bench/1"
    assert "stage faces64_" in output.with_suffix(".html").read_text()
    assert "## Where the time goes" in output.with_suffix(".md").read_text()


def test_a_service_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = bench("run", "--target", "127.0.0.1:1", "--rate", 1, "--output", tmp_path / "none.json", code=1)
    assert "127.0.0.1:1" in done.stderr
    assert not (tmp_path / "none.json").exists()


def test_a_model_that_is_not_there_is_named(gateway: GatewayProcess, tmp_path: Path) -> None:
    done = bench(
        "run", "--target", gateway.address, "--model", "cats", "--output", tmp_path / "x.json", code=1
    )
    assert "'cats'" in done.stderr
    assert "faces64" in done.stderr


def test_encrypted_with_a_key_to_a_fleet_by_a_trace_and_a_ramp(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "authority")
    server, client = authority.issue("server"), authority.issue("client")
    key, entry = new_key("bench")
    settings = {
        "tls_certificate": server.certificate,
        "tls_key": server.key,
        "tls_client_ca": authority.certificate,
        "api_keys_file": write_keys(tmp_path / "keys.toml", entry),
    }
    monkeypatch.setenv("MASKWEAVE_API_KEY", key)
    trace, output = tmp_path / "trace.csv", tmp_path / "fleet.json"
    trace.write_text("seconds,what\n" + "".join(f"{1000 + number / 5},x\n" for number in range(20)))
    with gateway_process(repository, **settings) as one, gateway_process(repository, **settings) as other:
        fleet = ",".join(f"localhost:{each.address.rpartition(':')[2]}" for each in (one, other))
        encryption = ("--tls-root", authority.certificate, "--tls-certificate", client.certificate)
        results = measured(
            output,
            "--target",
            f"fleet={fleet}",
            *encryption,
            "--tls-key",
            client.key,
            "--trace",
            trace,
            "--ramp",
            "2:6",
            "--seconds",
            4,
            "--model",
            "faces64",
        )
        counts = [each.metric("grpc_server_started_total", grpc_method="Synthesize") for each in (one, other)]
    assert {trial.load.kind for trial in results.trials} == {"trace", "ramp"}
    assert all(trial.codes == {"OK": trial.requests} for trial in results.trials)
    assert min(counts) > 0.4 * sum(counts)
    assert results.targets[0].tls
    assert key not in output.read_text()
