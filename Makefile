# Varve. `make` lists the targets.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export GOFLAGS := -tags=duckdb_arrow $(GOFLAGS)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
SOURCES     := $(shell find . -name '*.go' -not -path './.varve/*')
# Packages that link the Temporal server take minutes to compile under the race detector and have no shared state of ours.
RACE        := $(shell go list ./... 2>/dev/null | grep -vE '/cmd/|/internal/devserver|/testsuite')

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

.PHONY: demo
demo: ## build, run pipelines/flights.yaml on an embedded Temporal, and show what it made
	@[ -x bin/trigger ] || echo "Building (the first build compiles Temporal and DuckDB: some minutes)..."
	@$(MAKE) --no-print-directory build
	@bin/trigger run pipelines/flights.yaml --head gold.carrier_daily --next

.PHONY: build
build: bin/trigger bin/worker ## bin/trigger (the CLI) and bin/worker

bin/%: $(SOURCES) go.mod go.sum
	@mkdir -p bin
	@go build -o $@ ./cmd/$*

.PHONY: test
test: build ## every test that needs nothing but Go and a C compiler
	go vet ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	VARVE_BIN=$(CURDIR)/bin go test -timeout 14m ./...

.PHONY: race
race: ## the same under the race detector, without the packages that link the Temporal server
	go test -race -timeout 30m -short $(RACE)

.PHONY: lint
lint: ## vet and staticcheck
	go vet ./...
	go run $(STATICCHECK) ./...

.PHONY: test-interop
test-interop: build ## PyIceberg and Spark read what Varve wrote, and the other way round (installs both)
	testsuite/peers/install
	VARVE_BIN=$(CURDIR)/bin VARVE_PEERS=1 VARVE_SERVERS=$$(testsuite/servers/install) go test -timeout 30m -count=1 ./testsuite/interop/...

.PHONY: test-differential
test-differential: ## random MERGEs beside Spark's; PyIceberg, Spark and DuckDB read the tables (installs them); VARVE_SEEDS=n for more
	testsuite/peers/install
	VARVE_PEERS=1 go test -timeout 60m -count=1 -run TestPeers ./tables ./tables/merge

.PHONY: test-kill
test-kill: ## kill -9 of worker, server and both, at some points and I/Os of a run, locally and on S3 + Nessie (installs them); VARVE_SEED=n
	servers=$$(testsuite/servers/install); VARVE_KILL=few VARVE_SERVERS=$$servers go test -timeout 30m -count=1 -parallel 8 ./testsuite/kill/...

.PHONY: test-kill-kinds
test-kill-kinds: ## the same at every point and each kind of I/O, some 600 kills; writes the table of docs/kill-matrix.md
	servers=$$(testsuite/servers/install); VARVE_KILL=kinds VARVE_SERVERS=$$servers VARVE_KILL_TABLE=$(CURDIR)/docs/kill-matrix.md go test -timeout 5h -count=1 -parallel 12 ./testsuite/kill/...

# Slices of it add up: each appends what it came to to the file of outcomes, from which the page is written.
KILL_OUTCOMES ?= $(CURDIR)/.varve/kill-outcomes.jsonl
.PHONY: test-kill-all
test-kill-all: ## the same before and after every single I/O, some 6000 kills, for a night; VARVE_KILL_SHARD=k/n and VARVE_KILL_VICTIM=both are slices of it
	servers=$$(testsuite/servers/install); VARVE_KILL=all VARVE_SERVERS=$$servers VARVE_KILL_OUTCOMES=$(KILL_OUTCOMES) VARVE_KILL_TABLE=$(CURDIR)/docs/kill-matrix.md \
		go test -timeout 24h -count=1 -parallel 12 $(if $(VARVE_KILL_SHARD)$(VARVE_KILL_VICTIM),-run '^TestKillMatrix$$') ./testsuite/kill/...

.PHONY: test-catalogs
test-catalogs: build ## every catalog through one conformance suite, on servers that it starts (installs them; JDK 17 and 25, Maven, Python)
	VARVE_BIN=$(CURDIR)/bin VARVE_SERVERS=$$(testsuite/servers/install) go test -timeout 20m -count=1 ./testsuite/conformance -run 'TestCatalog|TestLake'

.PHONY: test-stores
test-stores: ## every store through one conformance suite, on servers that it starts
	VARVE_SERVERS=$$(testsuite/servers/install) go test -timeout 20m -count=1 ./testsuite/conformance -run 'TestStore'

.PHONY: test-contention
test-contention: ## 16 processes write to one table, on three catalogs (installs servers and PyIceberg); VARVE_CONTENTION=long for more, beside PyIceberg and Spark
	testsuite/peers/install >/dev/null
	VARVE_CONTENTION=$${VARVE_CONTENTION:-short} VARVE_SERVERS=$$(testsuite/servers/install) go test -timeout 60m -count=1 -v ./testsuite/contention

.PHONY: test-week
test-week: ## a table with a commit each minute, a MERGE each 15 and its maintenance each hour, for a simulated week (some 20 minutes); VARVE_WEEK=5m for less
	VARVE_WEEK=$${VARVE_WEEK:-1m} go test -timeout 3h -count=1 -v -run TestAWeek ./activities

.PHONY: test-lossy
test-lossy: ## every fault beside every kind of request between Varve and catalogs and stores; random programs behind faults: VARVE_SEEDS=n programs each (2)
	VARVE_SERVERS=$$(testsuite/servers/install) go test -timeout $${LOSSY_TIMEOUT:-20m} -count=1 -parallel 5 ./testsuite/conformance -run 'TestLossy'

.PHONY: test-simulation
test-simulation: ## the commit protocol under a seeded scheduler, long: VARVE_SEEDS=n or n-m seeds (20000), VARVE_SEED=n replays one
	VARVE_SEEDS=$${VARVE_SEEDS-20000} go test -timeout 12h -count=1 -v -run 'TestSimulation' ./testsuite/simulation

.PHONY: test-ui
test-ui: build ## the Temporal UI in headless Chromium: start a run, make a schedule (needs Node and Chromium)
	testsuite/ui/run

.PHONY: bench-merge
bench-merge: ## MERGE beside delta-rs, DuckDB and Spark (installs them); SCALE=0.1 for a quick look
	@mkdir -p bench/out bin
	@go build -o bin/bench-merge ./bench/merge
	@peers=$$(bench/install); VARVE_BENCH_JARS=$$peers/jars $$peers/venv/bin/python bench/merge/bench.py $${BENCH_WORK:-.varve/bench} bin/bench-merge $${BENCH_OUT:-bench/out/merge.json}

.PHONY: bench-merge-smoke
bench-merge-smoke: ## the MERGE benchmark at a hundredth, without Spark: fails when the systems' rows differ
	@SCALE=0.01 RUNS=1 SYSTEMS=varve,delta-rs,duckdb BENCH_WORK=.varve/bench-smoke BENCH_OUT=bench/out/merge-smoke.json $(MAKE) --no-print-directory bench-merge

.PHONY: bench-merge-trend
bench-merge-trend: ## MERGE into 1M to 100M rows, 10 to 1000 columns, 10 to 10,000 files (TRENDS=rows,columns,files; some 15 GB of disk)
	@mkdir -p bench/out bin
	@go build -o bin/bench-merge ./bench/merge
	@$$(bench/install)/venv/bin/python bench/merge/trend.py $${BENCH_WORK:-.varve/bench} bin/bench-merge bench/out/merge-trend.json

.PHONY: bench-merge-bounded
bench-merge-bounded: ## 20M rows with string keys into 5M under 512 MB, and with enough memory (some 8 GB of disk)
	@mkdir -p bench/out bin
	@go build -o bin/bench-merge ./bench/merge
	@$$(bench/install)/venv/bin/python bench/merge/bounded.py $${BENCH_WORK:-.varve/bench} bin/bench-merge $${BENCH_OUT:-bench/out/merge-bounded.json}

.PHONY: bench-merge-bounded-smoke
bench-merge-bounded-smoke: ## the same at a twentieth, and rows of 1,000 columns: fails when the rows differ or the memory is exceeded
	@SCALE=0.05 BENCH_WORK=.varve/bench-smoke BENCH_OUT=bench/out/merge-bounded-smoke.json $(MAKE) --no-print-directory bench-merge-bounded
	@TRENDS=columns COLUMNS=1000 SCALE=0.1 RUNS=1 BENCH_WORK=.varve/bench-smoke $(MAKE) --no-print-directory bench-merge-trend

.PHONY: bench-maintain
bench-maintain: ## compaction beside delta-rs and Spark (installs them); SCALE=0.1 for a quick look
	@mkdir -p bench/out bin
	@go build -o bin/bench-maintain ./bench/maintain
	@peers=$$(bench/install); VARVE_BENCH_JARS=$$peers/jars $$peers/venv/bin/python bench/maintain/bench.py $${BENCH_WORK:-.varve/bench} bin/bench-maintain $${BENCH_OUT:-bench/out/maintain.json}

.PHONY: bench-maintain-smoke
bench-maintain-smoke: ## the same at a hundredth, without Spark: fails when the systems' rows differ
	@SCALE=0.01 RUNS=1 SYSTEMS=varve,delta-rs BENCH_WORK=.varve/bench-smoke BENCH_OUT=bench/out/maintain-smoke.json $(MAKE) --no-print-directory bench-maintain

.PHONY: bench-lookup
bench-lookup: ## lookups by key in 100M rows (1,000 files; 3 GB of disk) beside DuckDB, PyIceberg and Spark; STORE=s3 from S3; SCALE=0.1 for a tenth
	@mkdir -p bench/out bin
	@go build -o bin/bench-lookup ./bench/lookup
	@[ "$${STORE:-local}" = local ] || export VARVE_SERVERS=$$(testsuite/servers/install); peers=$$(testsuite/peers/install); \
	JARS=$$peers/jars $$peers/venv/bin/python bench/lookup/bench.py $${BENCH_WORK:-.varve/bench} bin/bench-lookup $${BENCH_OUT:-bench/out/lookup$${STORE:+-$$STORE}.json}

.PHONY: bench-lookup-smoke
bench-lookup-smoke: ## the same at a hundredth beside DuckDB alone: fails when the rows differ
	@SCALE=0.01 LOOKUPS=100 SECONDS=2 PEER_SECONDS=5 SYSTEMS=varve,duckdb BENCH_WORK=.varve/bench-smoke BENCH_OUT=bench/out/lookup-smoke.json $(MAKE) --no-print-directory bench-lookup

.PHONY: bench-scan
bench-scan: ## SQL that aggregates all of 10M rows beside DuckDB on the same files: fails when the results differ, or above 1.3 times its time
	@mkdir -p bench/out bin
	@go build -o bin/bench-lookup ./bench/lookup
	@go build -o bin/bench-scan ./bench/scan
	@folder=$${BENCH_WORK:-.varve/bench}/lookup-$${FILES:-100}; echo metadata | bin/bench-lookup $$folder $${FILES:-100} >/dev/null; \
	$$(testsuite/peers/install)/venv/bin/python bench/scan/bench.py $$folder bin/bench-scan $${BENCH_OUT:-bench/out/scan.json}

.PHONY: bench-scan-smoke
bench-scan-smoke: ## the same over 1.1M rows, which are just enough for DuckDB to read files itself, whatever the times: fails when the results differ
	@FILES=11 RUNS=1 STRICT=0 BENCH_WORK=.varve/bench-smoke BENCH_OUT=bench/out/scan-smoke.json $(MAKE) --no-print-directory bench-scan

.PHONY: bench-longevity
bench-longevity: ## TPC-H's tables through 20 phases of changes, maintained and left alone, with queries between (LST-Bench's pattern); SCALE=0.1 for a tenth
	@mkdir -p bench/out bin
	@go build -o bin/bench-longevity ./bench/longevity
	@work=$${BENCH_WORK:-.varve/bench}; data=$$work/tpch-$${SCALE:-1}; \
	if [ ! -e $$data/made ]; then mkdir -p $$data; $$(bench/install)/venv/bin/tpchgen-cli parquet --overwrite -s $${SCALE:-1} --output-dir $$data; touch $$data/made; fi; \
	bin/bench-longevity $$data $$work/longevity $${BENCH_OUT:-bench/out/longevity.json}

.PHONY: bench-longevity-smoke
bench-longevity-smoke: ## the same at a hundredth in 3 phases: fails when the copies' answers differ
	@SCALE=0.01 PHASES=3 EVERY=3 RUNS=1 BENCH_WORK=.varve/bench-smoke BENCH_OUT=bench/out/longevity-smoke.json $(MAKE) --no-print-directory bench-longevity

.PHONY: bench-planning
bench-planning: ## planning a lookup, appending, replacing files, health and plans of compactions, on the metadata of 1M and 10M data files that do not exist (200 MB of disk, kept)
	@for n in 1000000 10000000; do dir=$(CURDIR)/$${BENCH_WORK:-.varve/bench}/planning-$$n; mkdir -p $$dir; \
	VARVE_PLANNING_DIR=$$dir VARVE_PLANNING_FILES=$$n go test -count=1 -timeout 60m -v -run 'TestPlanningReadsCandidateManifestsAlone|TestAppendLeavesLargeManifests|TestReplacingLeavesOtherManifests|TestLooksAtAllFilesInBoundedMemory' ./tables ./tables/planning ./tables/commit | grep ' files'; done

.PHONY: generate
generate: ## regenerate schema/ and docs/reference from the language's definition
	go generate ./...

.PHONY: histories
histories: ## record workflow histories on the embedded server for the replay tests
	go test -tags 'duckdb_arrow record' -count=1 -run TestRecord ./workflows

.PHONY: clean
clean: ## remove what was built and the local lake (.varve)
	rm -rf bin .varve
