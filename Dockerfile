# One image for every process: the command picks the service and its role.
#   docker run weir metering            the server
#   docker run weir invoicing worker    the worker
#   docker run weir payments migrate    the migrations, once

FROM python:3.13-slim AS builder
WORKDIR /src
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
COPY deploy/requirements.lock deploy/requirements.lock
RUN uv venv /opt/weir && uv pip install --no-cache --python /opt/weir/bin/python --require-hashes -r deploy/requirements.lock
COPY . .
# The build requirements generate the stubs. They are pinned, with hashes, by the development lock, and stay in this stage.
RUN uv build --no-cache --wheel --build-constraints requirements.lock --require-hashes --out-dir dist \
 && uv pip install --no-cache --python /opt/weir/bin/python --no-deps --compile-bytecode dist/*.whl

FROM python:3.13-slim
COPY --from=builder /opt/weir /opt/weir
COPY deploy/probe.py /opt/weir/probe.py
ENV PATH=/opt/weir/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Only the sandbox writes, and only here. Services write no file: the root may be read-only.
RUN install --directory --owner=10001 --group=10001 /var/lib/weir
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /opt/weir
ENTRYPOINT ["python", "-m", "services"]
CMD ["metering"]
