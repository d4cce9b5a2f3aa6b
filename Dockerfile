# The images of Maskweave. One target each: gateway, triton, engine-builder. See docs/image.md.
#
# Bases are arguments, pinned to a release. To pin the very bytes, give NAME:TAG@sha256:DIGEST with the digest
# that your registry shows for the tag.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.15-slim-bookworm
# A plan runs only on the TensorRT that built it: both of these must be of the same month.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.10-py3
ARG ENGINE_BUILDER_IMAGE=nvcr.io/nvidia/pytorch:26.10-py3


FROM ${TRITON_IMAGE} AS triton
# Readable for every user, whatever the permissions in the checkout.
COPY --chmod=0755 model_repository /models
COPY --chmod=0755 docker/triton-entrypoint.sh /opt/maskweave/
# For the check of plans, export.plans.check, which needs nothing but Python.
COPY --chmod=0755 export /opt/maskweave/export

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MASKWEAVE_MODEL_REPOSITORY=/models
# The user triton-server of the public image.
USER 1000:1000
EXPOSE 8001 8002
STOPSIGNAL SIGTERM
# Over loopback, the only address on which HTTP is offered. The start is long: models are loaded and warmed up.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
# The public image's own entry point comes first: it chooses the CUDA libraries that fit the driver.
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "/opt/maskweave/triton-entrypoint.sh"]
# Not the public image's command.
CMD []


# What is installed, by path, so that each part becomes a layer of its own: a change of the code sends kilobytes.
#   /opt/maskweave         the environment with everything of requirements/serve.txt
#   /staged/opt/maskweave  what the project adds to it
#   /staged/models         the model repository
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Two builds of the same sources give the same bytes: what goes by hashes and dates is held still.
ENV PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils=2.40-* tini=0.19.0-* \
    && rm -rf /var/lib/apt/lists/*

# Set it to anything for gateways that sign images (MASKWEAVE_C2PA_CERTIFICATE): 53 MB more.
ARG CONTENT_CREDENTIALS=
# Set it to anything for gateways that run models with OpenVINO (MASKWEAVE_EMBEDDED_RUNTIME).
ARG OPENVINO=
# The secrets are optional: a pip.conf for a private index, and the certificate that it may name.
COPY requirements/build.txt requirements/serve.txt requirements/c2pa.txt requirements/openvino.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv --without-pip /build \
    && python3 -m venv --without-pip /opt/maskweave \
    && python3 -m pip --python /build/bin/python install --no-compile --no-deps --require-hashes \
        --requirement requirements/build.txt \
    && python3 -m pip --python /opt/maskweave/bin/python install --no-compile --no-deps --require-hashes \
        --requirement requirements/serve.txt ${CONTENT_CREDENTIALS:+--requirement requirements/c2pa.txt} \
        ${OPENVINO:+--requirement requirements/openvino.txt} \
    # What only developers of these packages need.
    && find /opt/maskweave/lib -depth \( -type d \( -name tests -o -name __pycache__ \) -o -name '*.pyi' \
        -o -path '*/numpy/_core/include' -o -path '*/numpy/f2py' -o -path '*/onnxruntime/transformers' \
        -o -path '*/onnxruntime/quantization' -o -path '*/onnxruntime/tools' \) -exec rm -rf {} + \
    # These two come with what only a debugger reads: 18 of their 21 MB.
    && find /opt/maskweave/lib \( -path '*/uvloop/*.so' -o -name 'rapidjson*.so' \) -exec strip --strip-unneeded {} + \
    # Compiled here, because a read-only root cannot keep what Python compiles at its start; by hash and
    # unchecked, because times of files differ from build to build, and nothing changes the files afterwards.
    && /opt/maskweave/bin/python -m compileall -q -j 1 --invalidation-mode unchecked-hash /opt/maskweave/lib \
    && chmod -R u=rwX,go=rX /opt/maskweave

# All that .dockerignore lets through.
COPY . .
RUN /build/bin/python -m hatchling build --target wheel \
    && python3 -m pip --python /opt/maskweave/bin/python install --no-compile --no-deps --no-index \
        --no-cache-dir --prefix /staged/opt/maskweave dist/*.whl \
    && /opt/maskweave/bin/python -m compileall -q -j 1 --invalidation-mode unchecked-hash \
        -s /staged /staged/opt/maskweave/lib \
    # The weights that training starts from: what is served of them is in the model repository.
    && find /staged/opt/maskweave/lib -name '*.safetensors' -delete \
    && cp -R model_repository /staged/models \
    # Whatever the permissions in the checkout: every user of the image may read, none but root may write.
    && chmod -R u=rwX,go=rX /staged


FROM ${PYTHON_IMAGE} AS gateway
# Nothing is ever installed in this image: what could install goes.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/bin/pip* /usr/bin/wheel \
    /usr/local/lib/python3*/site-packages/* /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip \
    /usr/lib/python3/dist-packages/pip* /usr/lib/python3/dist-packages/setuptools* \
    /usr/lib/python3/dist-packages/pkg_resources* /usr/lib/python3/dist-packages/wheel* \
    /usr/share/python-wheels

# The kernel keeps from PID 1 every signal for which it has no handler: the gateway alone would miss a SIGTERM
# that comes before its handlers are up, and the second one that is to end it at once. tini passes them on.
COPY --from=build /usr/bin/tini-static /usr/bin/tini
COPY --from=build /opt/maskweave /opt/maskweave
COPY --from=build /staged/models /models
COPY --from=build /staged/opt/maskweave /opt/maskweave

ENV PATH=/opt/maskweave/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MASKWEAVE_GRPC_HOST=0.0.0.0 \
    MASKWEAVE_HTTP_HOST=0.0.0.0 \
    MASKWEAVE_MODEL_REPOSITORY=/models
# No certificate can be in the image: the gateway refuses to start until it is given one, or told that something
# else encrypts (MASKWEAVE_ALLOW_PLAINTEXT=true).
WORKDIR /
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["maskweave", "health"]
ENTRYPOINT ["tini", "--", "maskweave"]
CMD ["serve"]


FROM ${ENGINE_BUILDER_IMAGE} AS engine-builder
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
# PyTorch and TensorRT are the base's, seen through its site packages. The base pins versions of other packages for
# its own environment; in this one the lock decides.
COPY requirements/export.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv --without-pip --system-site-packages /opt/maskweave \
    && PIP_CONSTRAINT='' python3 -m pip --python /opt/maskweave/bin/python install --no-deps --require-hashes \
        --requirement requirements/export.txt
COPY --from=build /src/dist dist
RUN python3 -m pip --python /opt/maskweave/bin/python install --no-deps --no-index --no-cache-dir dist/*.whl

ENV PATH=/opt/maskweave/bin:${PATH}
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["maskweave", "export"]
CMD ["--help"]
