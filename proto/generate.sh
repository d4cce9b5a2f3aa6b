#!/bin/sh
# Generates the Python code of the contract from the .proto files.
#
# Usage: proto/generate.sh [OUTPUT_DIR]     (default: proto/python, where the code is checked in)
#
# The pinned generator lives in an environment of its own, .venv/proto, made on first use with the
# interpreter named by PYTHON (default: python3), because it must not follow the service's protobuf.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-"$here/python"}
venv="$here/../.venv/proto"

if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

mkdir -p "$out"
cd "$here"
PATH="$venv/bin:$PATH" "$venv/bin/python" -m grpc_tools.protoc \
    --proto_path=. \
    --python_out="$out" \
    --grpc_python_out="$out" \
    --mypy_out="quiet:$out" \
    --mypy_grpc_out="quiet:$out" \
    $(find maskweave -name '*.proto' | sort)
