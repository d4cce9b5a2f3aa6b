"""Flags before the environment before the file before defaults; what is wrong is said with its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.access.keys import Scope, make_key
from service.app.settings import Settings
from service.app.sources import SettingsError, read_settings


@pytest.fixture(autouse=True)
def _no_settings_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MASKWEAVE_{name.upper()}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "maskweave.toml"


def test_flags_then_environment_then_file_then_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("grpc_port = 1\nhttp_port = 1\nmax_concurrent_rpcs = 1\nreflection = false\n")
    monkeypatch.setenv("MASKWEAVE_GRPC_PORT", "2")
    monkeypatch.setenv("maskweave_http_port", "4")
    settings = read_settings({"grpc_port": "3"}, file)
    assert (settings.grpc_port, settings.http_port, settings.max_concurrent_rpcs) == (3, 4, 1)
    assert settings.reflection is False
    assert settings.queue_capacity == Settings().queue_capacity


def test_the_documented_file_is_one(tmp_path: Path) -> None:
    documented = (Path(__file__).parents[4] / "docs/access.md").read_text()
    (example,) = re.findall(r"```toml\n(# maskweave\.toml\n.*?)```", documented, re.DOTALL)
    file = tmp_path / "maskweave.toml"
    file.write_text(example)
    assert read_settings({}, file).uses_tls


def problems(flags: dict[str, str] | None = None, file: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read_settings(flags or {}, file)
    return caught.value.problems


def test_every_bad_value_is_told_with_its_source_and_what_is_allowed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('queue_capacity = -1\nlog_format = "xml"\n')
    monkeypatch.setenv("MASKWEAVE_HTTP_PORT", "x")
    told = problems({"grpc_port": "65536"}, file)
    assert told == (
        "grpc_port (--grpc-port): got '65536'; allowed: less than or equal to 65535",
        "http_port (MASKWEAVE_HTTP_PORT): got 'x'; allowed: a valid integer, "
        "unable to parse string as an integer",
        f"queue_capacity ({file}): got -1; allowed: greater than or equal to 0",
        f"log_format ({file}): got 'xml'; allowed: 'text' or 'json'",
    )


def test_unknown_names_in_the_file_are_refused_by_name(file: Path) -> None:
    file.write_text("grpc_prot = 1\nqueue_capacity = -1\n[tls]\ncertificate = 1\n")
    told = problems(file=file)
    assert told[0] == f"grpc_prot ({file}): no such setting; did you mean grpc_port?"
    assert told[1].startswith(f"tls ({file}): no such setting")
    assert told[2].startswith("queue_capacity")


@pytest.mark.parametrize(
    ("content", "problem"),
    [("grpc_port = ", "is not TOML"), (b"\xff", "is not TOML"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_named(file: Path, content: str | bytes | None, problem: str) -> None:
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (told,) = problems(file=file)
    assert told.startswith(f"{file}: {problem}")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"grpc_host": "0.0.0.0"}, r"grpc_host: got '0\.0\.0\.0' without TLS; allowed: .* allow_plaintext"),
        ({"grpc_host": "::"}, "grpc_host: got '::' without TLS"),
        ({"grpc_host": "gateway.example"}, "grpc_host: got 'gateway.example' without TLS"),
        ({"tls_certificate": "a"}, "tls_key: not set"),
        ({"tls_key": "a"}, "tls_certificate: not set"),
        ({"tls_client_ca": "a"}, "tls_client_ca: needs tls_certificate"),
        ({"health_open": "false"}, "health_open: got False without api_keys_file"),
        (
            {"grpc_port": "8080"},
            r"http_port: got 8080 on 127.0.0.1, where gRPC listens on 127.0.0.1:8080; allowed: .*grpc_port",
        ),
        ({"grpc_port": "1", "http_port": "1", "http_host": "0.0.0.0"}, r"http_port: got 1 on 0\.0\.0\.0"),
        (
            {"queue_capacity": "0", "concurrency_limit": "1"},
            "queue_capacity: got 0 with concurrency_limit 1; allowed: together at least 2",
        ),
        ({"forwarded_for_header": "x-forwarded-for"}, "trusted_proxies: not set"),
        ({"trusted_proxies": "10.0.0.1"}, "forwarded_for_header: not set"),
        (
            {"forwarded_for_header": "X-Forwarded-For", "trusted_proxies": "unix"},
            "forwarded_for_header: got 'X-Forwarded-For'; allowed: ",
        ),
        ({"forwarded_for_header": "forwarded", "trusted_proxies": "unix"}, "got 'forwarded'; allowed: "),
        ({"forwarded_for_header": "trace-bin", "trusted_proxies": "unix"}, "got 'trace-bin'; allowed: "),
        (
            {"forwarded_for_header": "x-real-ip", "trusted_proxies": "unix, 10.0.0.1/8"},
            "trusted_proxies: 10.0.0.1/8 has host bits set; allowed: ",
        ),
        ({"reflection_open": "false"}, "reflection_open: got False without api_keys_file"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(flags: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        read_settings(flags)


@pytest.mark.parametrize(
    "flags",
    [
        {"grpc_host": "localhost"},
        {"grpc_host": "127.0.0.9"},
        {"grpc_host": "::1"},
        {"grpc_host": "0.0.0.0", "allow_plaintext": "true"},
        {"grpc_host": "0.0.0.0", "tls_certificate": "a", "tls_key": "b"},
        {"api_keys_file": "", "tls_certificate": "", "tls_key": ""},
    ],
)
def test_plain_text_is_for_the_loopback_or_on_request(flags: dict[str, str]) -> None:
    settings = read_settings(flags)
    assert settings.open_to_anyone == (flags.get("grpc_host") == "0.0.0.0")


def test_a_key_in_a_setting_is_neither_printed_nor_repeated() -> None:
    key, _ = make_key("a", [Scope.EDIT])
    assert key not in read_settings({"api_keys_file": key}).describe()
    assert key[:20] not in "".join(problems({"grpc_port": key}))


def test_trusted_proxies_are_read_from_one_setting() -> None:
    settings = read_settings({"forwarded_for_header": "x-real-ip", "trusted_proxies": "10.0.0.0/8, ::1,unix"})
    assert [settings.proxies.trusts(each) for each in ("10.1.2.3", "::1", "unix", "192.0.2.1")] == [
        *(True, True, True, False)
    ]


def test_all_contradictions_are_told_at_once_a_line_each() -> None:
    told = problems({"grpc_host": "0.0.0.0", "tls_key": "a", "grpc_port": "8080", "http_host": "0.0.0.0"})
    assert [each.partition(":")[0] for each in told] == ["http_port", "tls_certificate", "grpc_host"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            {"queue_capacity": "8", "concurrency_limit": "2", "worker_threads": "2"},
            "queue_capacity 8 and a concurrency of 2: requests of more than 10 images never fit",
        ),
        ({"max_message_bytes": "4194304"}, "max_message_bytes 4194304: .* do not fit into a message"),
        (
            {"concurrency_limit": "1", "worker_threads": "3"},
            "concurrency_limit 1 and worker_threads 3: 2 threads never have anything to do",
        ),
        (
            {"max_connection_age_seconds": "60"},
            "max_connection_age_seconds 60 and paint_idle_timeout_seconds 300: Paint sessions end",
        ),
        ({"triton_url": "localhost:8001"}, "triton_url localhost:8001: has no effect"),
        ({"tls_certificate": "a", "tls_key": "b", "allow_plaintext": "1"}, "allow_plaintext: has no effect"),
    ],
)
def test_what_is_surprising_is_warned_of(flags: dict[str, str], told: str) -> None:
    (warning,) = read_settings(flags).warnings
    assert re.match(told, warning)


@pytest.mark.parametrize(
    "flags",
    [
        {"worker_threads": "256"},
        {"engine": "triton", "triton_url": "localhost:8001"},
        {"grpc_host": "unix:/m.sock", "grpc_port": "8080"},
        {"grpc_host": "::1", "grpc_port": "8080"},
        {"queue_capacity": "63", "concurrency_limit": "1", "worker_threads": "1"},
    ],
)
def test_what_goes_together_is_not_warned_of(flags: dict[str, str]) -> None:
    assert read_settings(flags).warnings == ()


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_seconds")])
@pytest.mark.parametrize("value", ["inf", "nan", "1e12"])
def test_no_time_is_without_end(name: str, value: str) -> None:
    (told,) = problems({name: value})
    assert told.startswith(f"{name} (--{name.replace('_', '-')}): got '{value}'; allowed: ")
