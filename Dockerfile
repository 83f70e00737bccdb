# Stages:  worker  what scores, learns online and answers over HTTP, without TensorFlow (the default)
#          train   the worker, and what trains a bundle
# Behind a proxy or a mirror:  docker build --build-arg PIP_INDEX_URL=... .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS base
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/var/cache/intent
RUN useradd --system --create-home --uid 10001 intent \
    && install -d -o intent /var/cache/intent /bundle /keys
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
# Dependencies change less often than the sources: with empty packages they are a layer of their own.
RUN mkdir features offline stream && pip install --constraint constraints.txt '.[worker,learn,serve,tracing]'

FROM base AS train
RUN pip install --constraint constraints.txt '.[train]'
COPY features features
COPY offline offline
COPY stream stream
RUN pip install --no-deps --force-reinstall .
USER intent
ENTRYPOINT ["intent"]

FROM base AS worker
COPY features features
COPY offline offline
COPY stream stream
RUN pip install --no-deps --force-reinstall .
USER intent
ENV INTENT_BUNDLE=/bundle INTENT_HTTP_HOST=0.0.0.0 INTENT_HTTP_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['INTENT_HTTP_PORT']}/readyz\", timeout=2)"]
ENTRYPOINT ["intent"]
CMD ["worker"]
