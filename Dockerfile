# One image for the API, the workers and the migration job. Every package is installed by its hash, from
# deploy/requirements/, which `just pin` writes; no address of a registry is written down.
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}

RUN useradd --create-home --uid 10001 marketplace
WORKDIR /srv/marketplace
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH="/srv/marketplace/.venv/bin:$PATH"

# The packages first: they change less often than our code.
COPY deploy/requirements/ deploy/requirements/
RUN python -m venv .venv && python -m venv /tmp/build \
    && .venv/bin/pip install --require-hashes -r deploy/requirements/production.txt \
    && /tmp/build/bin/pip install --require-hashes -r deploy/requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY events/ events/
COPY migrations/ migrations/
COPY marketplace/ marketplace/
RUN /tmp/build/bin/hatchling build --target wheel --directory /tmp/wheel \
    && .venv/bin/pip install --no-deps --no-index /tmp/wheel/*.whl \
    && rm -rf /tmp/build /tmp/wheel

USER marketplace
EXPOSE 8000
CMD ["marketplace", "serve", "--role", "api", "--host", "0.0.0.0", "--port", "8000"]
