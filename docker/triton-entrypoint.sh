#!/usr/bin/env bash
# Starts Triton on the model repository as production wants it. Arguments go to tritonserver, after these.
#
# A repository with TensorRT plans is checked first: a plan that was built for another GPU, by another TensorRT or
# from another graph is refused here, with the reason, instead of failing inside Triton or giving wrong images.
set -euo pipefail

repository=$(readlink -m "${MASKWEAVE_MODEL_REPOSITORY:-/models}")
cache_bytes=${MASKWEAVE_TRITON_CACHE_BYTES:-67108864}
exit_timeout_seconds=${MASKWEAVE_TRITON_EXIT_TIMEOUT_SECONDS:-30}
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

fail() {
    echo "triton-entrypoint: $1" >&2
    exit 1
}

shopt -s nullglob
configs=("$repository"/*/config.pbtxt)
((${#configs[@]})) || fail "there is no model with a config.pbtxt in $repository; set MASKWEAVE_MODEL_REPOSITORY"

if grep -qsE '^[[:space:]]*(backend:[[:space:]]*"tensorrt"|platform:[[:space:]]*"tensorrt_plan")' "${configs[@]}"; then
    (cd "$here" && python3 -m export.plans.check "$repository") ||
        fail "the plans in $repository must not be served here, see above"
fi

# Whoever may reach the port may call what is not closed. These calls are for whoever knows a key that nobody
# does. Shared memory: reading and writing it has been a way into the server. Traces and log settings: they name
# files to write. Not model-repository: the gateway finds the models by its index, and with the control mode
# "none" loading and unloading are refused anyway.
closed="shared-memory,trace,logging:closed=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"

# HTTP stays inside the container, for its health check; metrics would follow it there if not told otherwise.
# The pings: clients of the gateway's kind ping every 10 seconds, also while they have no call to wait for.
exec tritonserver \
    --model-repository="$repository" \
    --model-control-mode=none \
    --disable-auto-complete-config \
    --strict-readiness=true \
    --exit-on-error=true \
    --exit-timeout-secs="$exit_timeout_seconds" \
    --cache-config=local,size="$cache_bytes" \
    --allow-grpc=true \
    --grpc-port=8001 \
    --grpc-restricted-protocol="$closed" \
    --grpc-http2-min-recv-ping-interval-without-data=10000 \
    --grpc-keepalive-permit-without-calls=true \
    --allow-http=true \
    --http-address=127.0.0.1 \
    --http-port=8000 \
    --http-restricted-api="$closed" \
    --allow-metrics=true \
    --metrics-address=0.0.0.0 \
    --metrics-port=8002 \
    "$@"
