"""Settings as operators give them: a file, the environment, flags, and a check before the start."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from maskweave_client import Client, MaskweaveError
from service.app.settings import Settings
from tests.support.certificates import Authority, encrypt_key
from tests.support.gateway_process import gateway_process, run_serve
from tests.support.key_file import new_key, write_keys

TINY = 1e-6


def test_the_file_gives_what_environment_and_flags_do_not(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "maskweave.toml"
    file.write_text('queue_capacity = 11\nmax_concurrent_rpcs = 12\ngrpc_host = "localhost"\n')
    with gateway_process(repository, config=file, max_concurrent_rpcs=13) as gateway:
        lines = gateway.output.splitlines()
    values = {name.strip(): value for name, _, value in (line.partition(" = ") for line in lines)}
    assert (values["queue_capacity"], values["max_concurrent_rpcs"]) == ("11", "13")
    assert gateway.address.startswith("localhost:")
    done = run_serve("--check", "--config", str(file), "--max-concurrent-rpcs", "14", max_concurrent_rpcs=13)
    assert re.search(r"^max_concurrent_rpcs += 14$", done.stdout, re.MULTILINE)


def test_plain_text_beyond_the_loopback_is_refused_at_start(repository: Path) -> None:
    done = run_serve(grpc_host="0.0.0.0", grpc_port=0, http_port=0, model_repository=repository)
    assert done.returncode == 2
    assert "grpc_host: got '0.0.0.0' without TLS" in done.stdout
    assert "allow_plaintext" in done.stdout


def test_plain_text_on_request_warns_that_anyone_may_call(repository: Path) -> None:
    with gateway_process(repository, grpc_host="0.0.0.0", allow_plaintext=True) as gateway:
        assert "whoever reaches the gRPC port may have images made" in gateway.output


def test_a_good_configuration_is_checked_without_a_start(repository: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", "authority")
    pair = authority.issue("server")
    done = run_serve(
        "--check",
        grpc_host="0.0.0.0",
        model_repository=repository,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        tls_client_ca=authority.certificate,
        api_keys_file=write_keys(tmp_path / "keys.toml", new_key()[1]),
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "ok"
    assert "Warning" not in done.stdout


def test_everything_wrong_is_told_by_one_check(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority", "authority")
    keys = tmp_path / "keys.toml"
    secret, _ = new_key()
    keys.write_text(f'[[keys]]\nid = "a"\nhash = "{secret}"\n')
    (tmp_path / "models/broken").mkdir(parents=True)
    (tmp_path / "models/broken/config.pbtxt").write_text("nonsense")
    done = run_serve(
        "--check",
        model_repository=tmp_path / "models",
        tls_certificate=authority.issue("one").certificate,
        tls_key=authority.issue("two").key,
        api_keys_file=keys,
    )
    assert done.returncode == 1
    assert "two.key: does not belong to the certificate in" in done.stdout
    assert f"api_keys_file {keys}: key a: salt: field required" in done.stdout
    assert "broken/config.pbtxt" in done.stdout
    assert secret not in done.stdout
    assert "Traceback" not in done.stdout


def test_what_a_check_refuses_a_start_refuses_too(repository: Path, tmp_path: Path) -> None:
    pair = Authority(tmp_path / "authority", "authority").issue("server")
    encrypted = tmp_path / "encrypted.key"
    encrypt_key(pair.key, encrypted)
    settings = {"grpc_port": 0, "http_port": 0, "model_repository": repository}
    for flags in ((), ("--check",)):
        done = run_serve(*flags, tls_certificate=pair.certificate, tls_key=encrypted, **settings)
        assert done.returncode == 1
        assert "encrypted.key: is encrypted; allowed: a key that needs no password" in done.stdout
        done = run_serve(*flags, api_keys_file=tmp_path / "absent", **settings)
        assert done.returncode == 1
        assert "absent: cannot be read: No such file" in done.stdout


@pytest.mark.parametrize("flags", [(), ("--check",)])
def test_bad_settings_are_told_one_per_line_with_their_source(tmp_path: Path, flags: tuple[str, ...]) -> None:
    file = tmp_path / "maskweave.toml"
    file.write_text("grpc_prot = 1\n")
    done = run_serve(*flags, "--http-port", "x", config=file, queue_capacity=-1)
    assert done.returncode == 2
    assert "http_port (--http-port): got 'x'; allowed: a valid integer" in done.stdout
    assert "queue_capacity (MASKWEAVE_QUEUE_CAPACITY): got '-1'; allowed: greater than" in done.stdout
    assert f"grpc_prot ({file}): no such setting; did you mean grpc_port?" in done.stdout


def extreme(end: str) -> dict[str, object]:
    """Every setting that is a number, but ports and the wait before a stop, at one end of what is allowed."""
    values: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        if name.endswith("_port") or name == "shutdown_delay_seconds" or field.annotation not in (int, float):
            continue
        bounds = {bound: getattr(each, bound) for each in field.metadata for bound in ("ge", "gt", "le", "lt")
                  if getattr(each, bound, None) is not None}  # fmt: skip
        if end == "largest":
            values[name] = bounds.get("le", 2**62)
        else:
            values[name] = bounds["ge"] if "ge" in bounds else bounds["gt"] + TINY
    return values


def outcome(client: Client) -> str:
    """How a request ends: `OK`, or the name of its status."""
    try:
        client.synthesize("faces64", np.zeros((2, 2), np.uint8), seed=1, timeout=30)
    except MaskweaveError as error:
        return error.code.name
    return "OK"


@pytest.mark.parametrize("end", ["smallest", "largest"])
def test_whatever_is_allowed_together_starts_answers_and_stops(repository: Path, end: str) -> None:
    """Answers may be refusals: a deadline of a microsecond is kept."""
    values = extreme(end)
    assert len(values) > 15
    with gateway_process(repository, **values) as gateway, Client(gateway.address, retry=None) as client:
        told = [outcome(client) for _ in range(3)]
        assert set(told) <= ({"OK"} if end == "largest" else {"OK", "DEADLINE_EXCEEDED", "UNAVAILABLE"})
        assert gateway.get("/livez") == "ok\n"
        assert "Traceback" not in gateway.output
