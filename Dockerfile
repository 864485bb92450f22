# One image for the API, the workers and the migration job. Versions are pinned in pyproject.toml.
FROM python:3.11-slim

RUN pip install --no-cache-dir uv==0.13.9 && useradd --create-home --uid 10001 marketplace
WORKDIR /srv/marketplace
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never PATH="/srv/marketplace/.venv/bin:$PATH"

# The packages first: they change less often than our code.
COPY pyproject.toml README.md ./
RUN uv sync --no-default-groups --no-install-project

COPY events/ events/
COPY migrations/ migrations/
COPY marketplace/ marketplace/
RUN uv sync --no-default-groups --no-editable

USER marketplace
EXPOSE 8000
CMD ["marketplace", "serve", "--role", "api", "--host", "0.0.0.0", "--port", "8000"]
