#!/usr/bin/env bash
# Generates src/gen from the contract, and from the details of failures as googleapis-common-protos has them.
set -euo pipefail

cd "$(dirname "$0")"
common=$(python -c 'import google.rpc; print(google.rpc.__path__[0])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/google/rpc" "$work/maskweave/v1"
cp "$common/error_details.proto" "$work/google/rpc/"
cp ../../proto/maskweave/v1/*.proto "$work/maskweave/v1/"
buf generate "$work"
