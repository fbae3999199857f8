# One image for `responder serve`, `responder work` and `responder migrate`.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.lock requirements/run.lock requirements/
RUN python -m venv /opt/responder \
 && /opt/responder/bin/python -m pip install --require-hashes --no-deps -r requirements/run.lock \
 && python -m pip install --require-hashes --no-deps -r requirements/build.lock
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY responder responder
COPY rules rules
COPY sql sql
COPY runbook.toml ./
RUN python -m hatchling build -t wheel -d dist \
 && /opt/responder/bin/python -m pip install --no-deps dist/*.whl

FROM python:3.11-slim
ENV PATH=/opt/responder/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    RESPONDER_BIND=0.0.0.0:8000
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent responder
COPY --from=build /opt/responder /opt/responder
USER 10001:10001
# responder.toml is mounted here.
WORKDIR /etc/responder
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener as direct; direct(ProxyHandler({})).open('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["responder"]
CMD ["serve"]
