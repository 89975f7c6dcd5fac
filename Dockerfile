# aidt as an image: one binary, git, and nothing that runs as root. `docker build -t aidt .`
FROM rust:1.95-slim-bookworm AS build
# librdkafka is C with a configure script that insists on C++; OpenSSL is for Kafka over TLS only.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ gcc libc6-dev libssl-dev make pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p aidt --features kafka-tls

FROM debian:bookworm-slim
# Tools work on git repositories; certificates are for those over HTTPS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --home-dir /var/lib/aidt --shell /usr/sbin/nologin aidt
COPY --from=build /src/target/release/aidt /usr/local/bin/aidt
USER 10001:10001
WORKDIR /var/lib/aidt
ENV AIDT_HOME=/var/lib/aidt
STOPSIGNAL SIGTERM
ENTRYPOINT ["aidt"]
CMD ["serve"]
