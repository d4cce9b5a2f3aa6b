#!/usr/bin/env bash
# Resolves the locks in this folder, with hashes: requirements/lock.sh [PYTHON that has pip-tools]
#
# dev.txt is resolved first and the others are held to it, so that tests run what is served. torch is resolved
# along but left out: it is pinned in pyproject.toml and installed by itself, from an index of the user's choice.
set -euo pipefail

cd "$(dirname "$0")/.."
python=${1:-python3}

compile() { # compile LOCK ARGUMENT...
    local lock=requirements/$1
    shift
    echo "resolving $lock"
    CUSTOM_COMPILE_COMMAND="make lock" "$python" -m piptools compile --quiet --resolver=backtracking \
        --generate-hashes --strip-extras --unsafe-package torch --unsafe-package pip \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
        --output-file "$lock" "$@"
    # The closing remark about packages left out would read as a fault: it is on purpose.
    sed -i '/^# WARNING: The following packages were not pinned/,$d' "$lock"
    sed -i -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$lock"
}

compile dev.txt --extra serve --extra c2pa --extra openvino --extra train --extra export --extra bench --extra dev \
    pyproject.toml client/pyproject.toml
compile client.txt --constraint requirements/dev.txt client/pyproject.toml
compile bench.txt --constraint requirements/dev.txt --extra bench client/pyproject.toml
compile serve.txt --constraint requirements/dev.txt --extra serve pyproject.toml
compile c2pa.txt --constraint requirements/dev.txt --extra c2pa pyproject.toml
compile openvino.txt --constraint requirements/dev.txt --extra openvino pyproject.toml
# For the images: what builds the wheel, and what the engine builder needs beside its base's torch.
compile build.txt --constraint requirements/dev.txt --only-build-deps --all-build-deps pyproject.toml
compile export.txt --constraint requirements/dev.txt --extra train --extra export pyproject.toml
compile labels.txt requirements/labels.in
compile triton.txt requirements/triton.in
compile helm.txt requirements/helm.in
compile docs.txt --constraint requirements/dev.txt requirements/docs.in
# What the gateway is compared with, each by itself, with the versions of what all of them run.
for peer in benchmarks/peers/requirements/*.in; do
    compile "../${peer%.in}.txt" --constraint requirements/serve.txt "$peer"
done
