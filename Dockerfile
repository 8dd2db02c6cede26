# The bench in a container: `docker build -t atelier .`. One image for both devices, as PyPI's torch brings
# CUDA along; for a GPU the host needs the driver and NVIDIA's container toolkit

# what the two commands of the README need beside Python; the dev container stops here
FROM python:3.11-slim-bookworm AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 bench \
    && install --directory --owner=bench --group=bench /bench
USER bench
WORKDIR /bench

# packages first: they change less often than the code
FROM base
COPY --chown=bench:bench requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
       --require-hashes -r requirements.lock
COPY --chown=bench:bench . .
RUN make .venv/.installed
# the port can only be published if not just the container itself may look
ENV PATH="/bench/.venv/bin:$PATH" STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 8501
CMD ["make", "demo"]
