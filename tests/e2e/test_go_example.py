"""The example for Go: generated from the contract by its own template, compiled, and run on a real gateway.

With the plugins and libraries that Debian has, of 2020 to 2022; what the example uses of later releases of
grpc-go is in tests/go.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from maskweave_client import Client
from tests.support.gateway_process import GatewayProcess
from tests.support.pages import ROOT
from tests.support.typescript_project import run

EXAMPLE = ROOT / "client" / "examples" / "go"
LIBRARIES = Path("/usr/share/gocode")
GRPC = LIBRARIES / "src" / "google.golang.org" / "grpc"
LATER = {
    GRPC / "new_client.go": ROOT / "tests" / "go" / "new_client.go",
    GRPC / "credentials" / "insecure" / "insecure.go": ROOT / "tests" / "go" / "insecure.go",
}
LOCAL = {"buf.build/protocolbuffers/go": "protoc-gen-go", "buf.build/grpc/go": "protoc-gen-go-grpc"}
ROWS = "00111100 01111110 01322310 01422410 01255211 01255211 01266211 77777777"


def test_the_example_makes_the_image(shipped: GatewayProcess, shipped_client: Client, tmp_path: Path) -> None:
    project = tmp_path / "src" / "example.com" / "drawing"
    project.mkdir(parents=True)
    template = (EXAMPLE / "buf.gen.yaml").read_text()
    for remote, local in LOCAL.items():
        assert f"remote: {remote}\n" in template
        template = template.replace(f"remote: {remote}\n", f"local: {local}\n")
    (project / "buf.gen.yaml").write_text(template)
    (project / "main.go").write_text((EXAMPLE / "main.go").read_text())
    run(ROOT / ".venv" / "dev" / "bin" / "buf", "generate", ROOT / "proto", folder=project)

    (tmp_path / "overlay.json").write_text(
        json.dumps({"Replace": {str(place): str(file) for place, file in LATER.items()}})
    )
    run(
        *("go", "build", "-overlay", tmp_path / "overlay.json", "-o", "draw", "."),
        folder=project,
        GO111MODULE="off",
        GOFLAGS="",
        GOPATH=f"{tmp_path}{os.pathsep}{LIBRARIES}",
        GOCACHE=str(tmp_path / "cache"),
    )
    run("./draw", shipped.address, folder=project, no_proxy="*")
    assert ROWS in (project / "main.go").read_text()
    label_map = np.array([[int(digit) for digit in row] for row in ROWS.split()], np.uint8)
    expected = shipped_client.synthesize("faces64", label_map, seed=7).images[0]
    assert (project / "face.png").read_bytes() == expected.data
