#!/usr/bin/env bash
# Puts the TensorRT plans for this machine's GPU into a model repository: build-plans.sh REPOSITORY
#
# With PLAN_CACHE, plans are kept there in a folder for each set of graphs, GPU and TensorRT, and taken from there the
# next time. Whatever comes out is checked against its manifests before it counts.
set -euo pipefail

repository=$1
cache=${PLAN_CACHE:-}

if maskweave export check-plans --repository "$repository"; then
    echo "build-plans: the plans in $repository fit this machine"
    exit 0
fi

entry=
if [ -n "$cache" ]; then
    machine=$(python3 -m export.plans.machine)
    graphs=$(cd "$repository" && find . \( -name '*.onnx' -o -name config.pbtxt \) -print0 | sort -z | xargs -0 sha256sum)
    entry=$cache/$(printf '%s\n%s\n' "$machine" "$graphs" | sha256sum | cut -c1-16)
    if [ -d "$entry" ]; then
        echo "build-plans: taking plans from $entry"
        cp -R "$entry/." "$repository"
        if maskweave export check-plans --repository "$repository"; then
            exit 0
        fi
        echo "build-plans: those of $entry do not fit, building anew" >&2
        rm -rf "$entry"
    fi
fi

echo "build-plans: building, which takes minutes"
maskweave export engines --repository "$repository"
maskweave export check-plans --repository "$repository"

if [ -n "$entry" ]; then
    # Beside its place and then moved there, so that nobody finds half of it.
    fresh=$(mktemp -d "$cache/.building-XXXXXXXX")
    (cd "$repository" && find . \( -name '*.plan' -o -name '*.plan.json' -o -name config.pbtxt \) -print0 |
        xargs -0 cp --parents -t "$fresh")
    mv -T "$fresh" "$entry" 2>/dev/null || rm -rf "$fresh" # another pod was faster
fi
