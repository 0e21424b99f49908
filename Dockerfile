# The worker and the CLI. Build: docker build -t varve . ; run: docker run varve worker --address temporal:7233
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# CGO is needed for DuckDB and zstd; both are linked statically from their modules.
RUN CGO_ENABLED=1 go build -tags duckdb_arrow -trimpath -ldflags "-s -w" -o /out/ ./cmd/worker ./cmd/trigger

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tzdata libstdc++6 \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home --uid 10001 varve
COPY --from=build /out/worker /out/trigger /usr/local/bin/
USER varve
WORKDIR /home/varve
# Mount the project here: varve.yaml and pipelines/.
CMD ["worker"]
