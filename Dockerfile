# Four images: the producer's and the page's have no JVM, the consumer's has Spark, the cleaner's has Spark and cron.
# Sources come last in each: a change of them rebuilds in seconds.

FROM python:3.11-slim-bookworm AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
ENTRYPOINT ["as-owner", "tini", "--"]


FROM base AS producer
COPY pyproject.toml constraints.txt docker/requirements.py /build/
RUN python /build/requirements.py producer >/build/requirements.txt \
 && pip install -r /build/requirements.txt -c /build/constraints.txt
COPY --chmod=755 docker/as-owner docker/look-up-accounts-in-run /usr/local/bin/
COPY --chmod=755 docker/program /usr/local/bin/producer
RUN look-up-accounts-in-run
COPY lakehouse lakehouse
COPY producer producer
RUN python -m compileall -q .
CMD ["producer", "simulate"]


FROM base AS page
# The C library otherwise keeps memory apart for each of the many threads.
ENV MALLOC_ARENA_MAX=2
COPY pyproject.toml constraints.txt docker/requirements.py /build/
RUN python /build/requirements.py page >/build/requirements.txt \
 && pip install -r /build/requirements.txt -c /build/constraints.txt
COPY --chmod=755 docker/as-owner docker/look-up-accounts-in-run /usr/local/bin/
COPY --chmod=755 docker/program /usr/local/bin/consumer
RUN look-up-accounts-in-run
COPY lakehouse lakehouse
COPY consumer consumer
RUN python -m compileall -q .
CMD ["consumer", "page"]


FROM base AS spark
# The C library otherwise keeps memory apart for each of a JVM's many threads; Arrow keeps what it has had.
ENV MALLOC_ARENA_MAX=2 ARROW_DEFAULT_MEMORY_POOL=system
RUN apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*
# "connect" is what spark.shared and spark.remote need; "spark sail" adds the second engine.
ARG EXTRAS="spark connect"
COPY pyproject.toml constraints.txt docker/requirements.py /build/
RUN python /build/requirements.py $EXTRAS >/build/requirements.txt \
 && pip install -r /build/requirements.txt -c /build/constraints.txt
COPY scripts/install_jars.py /build/
RUN python /build/install_jars.py && rm -rf /tmp/*
# The classes that Spark loads, for JVMs to map: they start in two thirds of the time.
COPY scripts/archive_classes.py /build/
RUN { python /build/archive_classes.py || echo "no archive: jobs run all the same"; } && rm -rf /tmp/*
COPY --chmod=755 docker/as-owner docker/look-up-accounts-in-run /usr/local/bin/
COPY --chmod=755 docker/program /usr/local/bin/consumer
COPY --chmod=755 docker/program /usr/local/bin/cleaner


FROM spark AS consumer
RUN look-up-accounts-in-run
COPY lakehouse lakehouse
COPY consumer consumer
COPY cleaner cleaner
RUN python -m compileall -q .
CMD ["consumer", "stream"]


FROM spark AS cleaner
RUN apt-get update \
 && apt-get install -y --no-install-recommends cron procps \
 && rm -rf /var/lib/apt/lists/* /etc/crontab /etc/cron.*
COPY --chmod=755 docker/run-cron /usr/local/bin/
RUN look-up-accounts-in-run && mkdir /etc/cron.d
COPY lakehouse lakehouse
COPY consumer consumer
COPY cleaner cleaner
RUN python -m compileall -q .
# As root, for cron's own daemon; its jobs run as the owner.
ENTRYPOINT ["tini", "--"]
CMD ["run-cron"]
