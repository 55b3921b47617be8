FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/cds
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY cds_service cds_service
COPY fhir_fixtures fhir_fixtures
RUN /opt/cds/bin/pip install --quiet '.[otel,postgresql]' && /opt/cds/bin/pip uninstall --quiet --yes pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent cds \
 && install --directory --owner=cds --mode=0700 /var/lib/cds
COPY --from=build /opt/cds /opt/cds
# The root file system may be read-only: only /tmp and, with SQLite, /var/lib/cds are written to.
ENV PATH=/opt/cds/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    CDS_DATABASE_URL=sqlite:////var/lib/cds/low-alp-cds.sqlite3
VOLUME /var/lib/cds
USER 10001
EXPOSE 8000

# Ready: knowledge, database, keys and canary patients are as they should be. The empty ProxyHandler
# keeps a proxy of the site out of a call to ourselves.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["python", "-c", \
  "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/health/ready', timeout=4)"]

# CDS_AUTH is `required` unless set: the container refuses to start until it is given CDS_CLIENTS,
# CDS_BASE_URL and CDS_HASH_KEY. CDS_AUTH=off says that everyone who reaches it may call it.
CMD ["cds-service", "serve", "--host", "0.0.0.0", "--port", "8000", "--open-to-network"]
