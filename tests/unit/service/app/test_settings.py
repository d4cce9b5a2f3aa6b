import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from docs.site.settings_page import settings_page
from service.app.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MASKWEAVE_{name.upper()}", raising=False)


def test_listens_on_the_loopback_by_default() -> None:
    defaults = Settings()
    assert (defaults.grpc_host, defaults.grpc_port) == ("127.0.0.1", 50051)
    assert (defaults.http_host, defaults.http_port) == ("127.0.0.1", 8080)


def test_flags_win_over_the_environment_and_that_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWEAVE_GRPC_PORT", "6000")
    monkeypatch.setenv("MASKWEAVE_MODEL_REPOSITORY", "elsewhere")
    chosen = Settings(grpc_port=7000)
    assert chosen.grpc_port == 7000
    assert chosen.model_repository == Path("elsewhere")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRPC_PORT", "65536"),
        ("HTTP_PORT", "-1"),
        ("WORKER_THREADS", "0"),
        ("RESPONSE_CACHE_BYTES", "-1"),
        ("MAX_CONCURRENT_RPCS", "0"),
        ("MAX_MESSAGE_BYTES", "12"),
        ("DEFAULT_TIMEOUT_SECONDS", "0"),
        ("SHUTDOWN_GRACE_SECONDS", "-0.1"),
        ("EMBEDDED_RUNTIME", "tensorrt"),
        ("EMBEDDED_PRECISION", "fp16"),
        ("EMBEDDED_PRECISION", ""),
        ("EMBEDDED_PRECISION", "fp32,fp32"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"MASKWEAVE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_a_password_in_an_endpoint_is_not_repeated() -> None:
    with pytest.raises(ValidationError, match=r"got 'http://\.\.\.@host:4317'") as refused:
        Settings(otlp_endpoint="http://user:secret@host:4317")
    assert "secret" not in str(refused.value.errors()[0]["msg"])


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(ValidationError, match="grpc_prot"):
        Settings(grpc_prot=1)  # type: ignore[call-arg]


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().grpc_port = 1


def test_describe_lists_every_setting_with_its_value() -> None:
    lines = [line.partition(" = ") for line in Settings(grpc_port=0).describe().splitlines()]
    values = {name.strip(): value for name, _, value in lines}
    assert values.keys() == Settings.model_fields.keys()
    assert values["grpc_port"] == "0"


def test_every_setting_explains_itself() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ({}, True),
        ({"http_host": "0.0.0.0"}, False),
        ({"http_host": "0.0.0.0", "allow_plaintext": True}, True),
        ({"http_calls": "off"}, False),
        ({"tls_certificate": "c", "tls_key": "k", "tls_client_ca": "a"}, False),
        ({"tls_certificate": "c", "tls_key": "k", "tls_client_ca": "a", "api_keys_file": "f"}, False),
        (
            {
                "tls_certificate": "c",
                "tls_key": "k",
                "tls_client_ca": "a",
                "api_keys_file": "f",
                "http_calls": "on",
            },
            True,
        ),
    ],
)
def test_the_http_port_answers_calls_where_the_grpc_port_would(given: dict[str, Any], answered: bool) -> None:
    assert Settings(**given).answers_http_calls == answered


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"http_calls": "on", "http_host": "0.0.0.0"}, "http_calls: got 'on' with http_host '0.0.0.0'"),
        (
            {"http_calls": "on", "tls_certificate": "c", "tls_key": "k", "tls_client_ca": "a"},
            "http_calls: got 'on' with tls_client_ca",
        ),
        ({"allowed_origins": "https://a.test/path"}, "allowed_origins: got 'https://a.test/path'"),
        ({"allowed_hosts": "a.test:8080"}, "allowed_hosts: got 'a.test:8080'"),
    ],
)
def test_calls_on_the_http_port_open_nothing_that_is_closed(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Settings(**given)


def test_default_versions_are_named_by_model() -> None:
    chosen = Settings(default_model_versions=" faces64=1.0.0, faces64_styles = 2.0.0-rc.1 ,")
    assert chosen.default_versions == {"faces64": "1.0.0", "faces64_styles": "2.0.0-rc.1"}
    assert Settings().default_versions == {}


@pytest.mark.parametrize("value", ["faces64", "=1.0.0", "faces64=", "a=1.0.0,a=2.0.0"])
def test_default_versions_that_name_nothing_are_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="default_model_versions: got"):
        Settings(default_model_versions=value)


def test_holding_requests_without_a_server_to_wait_for_is_told() -> None:
    told = [line for line in Settings(hold_while_unreachable=True).warnings if "hold_while" in line]
    assert len(told) == 1
    triton = Settings(engine="triton", triton_url="t:8001", hold_while_unreachable=True)
    assert not any("hold_while" in line for line in triton.warnings)


@pytest.mark.parametrize(
    ("runtime", "precision", "candidates"),
    [
        ("onnxruntime", "fp32", [("onnxruntime", "fp32")]),
        ("openvino", "int8, bf16", [("openvino", "bf16"), ("openvino", "int8")]),
        ("auto", "fp32,bf16", [("onnxruntime", "fp32"), ("openvino", "fp32"), ("onnxruntime", "bf16"),
                               ("openvino", "bf16")]),
    ],
)  # fmt: skip
def test_runtimes_and_precisions_are_tried_in_one_order(
    runtime: str, precision: str, candidates: list[tuple[str, str]]
) -> None:
    settings = Settings(embedded_runtime=runtime, embedded_precision=precision)  # type: ignore[arg-type]
    assert list(settings.allowed_runtimes.candidates) == candidates


def test_the_page_of_the_documentation_is_that_of_the_settings() -> None:
    page = (Path(__file__).parents[4] / "docs" / "settings.md").read_text()
    assert page == settings_page(), "make settings-page"
    for name in Settings.model_fields:
        assert f"| `{name}` | " in page
