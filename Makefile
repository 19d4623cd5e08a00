# Everything a person or a machine does with this repository. Recipes stop at the
# first failure, also inside a pipe.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

NODES ?= 1
PORT ?= 8081
DATA ?= data
FUZZTIME ?= 20s
RACES ?= 10000

.PHONY: help run demo build test lint web bench load bench-idle bench-storm bench-fanout bench-chat bench-logout bench-routing fuzz races histories chaos away soak flapping clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## start NODES=1 nodes with a demo company on PORT=8081 and print links
	@if .ci/need redis-server; then demo=; else \
		demo=--demo; echo "redis-server cannot be installed here: the demo keeps everything in memory."; fi; \
	exec bin/switchboard demo $$demo --nodes $(NODES) --port $(PORT) --data $(DATA)

demo: build ## the same without redis-server: one node, nothing survives
	@exec bin/switchboard demo --demo --port $(PORT)

build: ## build the binaries into bin/
	@mkdir -p bin
	go build -trimpath -o bin/ ./cmd/...

test: ## all checks and tests; installs what they need; 20 minutes at most
	@.ci/need redis-server chromium node npm
	@.ci/test

lint: ## formatting, go vet, staticcheck, go.mod
	@.ci/lint

web: ## type-check and test the browser side
	@.ci/need node npm chromium
	@.ci/web

bench: ## Go benchmarks of all packages; bench-idle, -storm, -fanout, -chat, -logout, -routing are the large ones
	go test -run '^$$' -bench . -benchmem ./...

bench-idle bench-storm bench-fanout bench-chat bench-logout bench-routing: build
	@.ci/need redis-server
	bin/bench $(@:bench-%=%) $(BENCH)
	@case $@ in bench-logout) go test -run '^$$' -bench Match -benchmem ./hub; esac

load: build ## 200 operators and 2,000 visitors on three nodes, with a verdict
	@.ci/need redis-server
	bin/loadtest -json load.json $(LOAD)

fuzz: ## each fuzz target for FUZZTIME=20s
	@.ci/fuzz $(FUZZTIME)

races: ## the races of logout and assignment, each RACES=10000 times
	@.ci/need redis-server
	RACES=$(RACES) go test -race -count=1 -timeout 60m ./routing ./presence -run 'TestAssign|Race' -v

histories: ## clients on three nodes judged by porcupine, HISTORIES=50 rounds; the model of routing, as many times longer; SEED=n
	@.ci/need redis-server
	HISTORIES=$(or $(HISTORIES),50) SEED=$(SEED) go test -race -count=1 -timeout 60m ./routing -run 'TestHistories|TestModel' -v

# The faults that a crowd goes through, and those that have a test of their own
# (chaos_test.go keeps the list whole).
MATRIX := TestChaos|TestChatsOutliveAProcessThatIsKilled|TestRedisAway|TestOrdersAreAcknowledgedOnlyWithAReplica|TestWhatAFailoverLosesIsAssertedAgain|TestACancelledOrderStaysCancelled|TestNobodyIsWorkedOnDuringTheHold|TestSecondDeathBeforeThereIsAReplica|TestAnEmptiedStoreIsFilled|TestEverythingIsGone|TestNodeThatDoesNotHear|TestNodeThatIsCutFromItsClients|TestStalledClient|TestFlushedScriptsAreLoadedAgain|TestCallsAreRefusedAtOnceWhileTheStoreHangs

chaos: ## the fault matrix, its crowds CHAOS=3 times as large, SEED=1
	@.ci/need redis-server
	CHAOS=$(or $(CHAOS),3) SEED=$(or $(SEED),1) go test -race -count=1 -p 1 -timeout 40m ./gateway ./presence -run '$(MATRIX)' -v

away: ## Redis hangs and dies for 3 s, 30 s and 3 minutes
	@.ci/need redis-server
	AWAY=3s,30s,3m go test -race -count=1 -timeout 20m ./gateway -run TestRedisAway -v

flapping: ## 1,000 people reconnect 10 times each, 10,000 at once after a kill: no status event; a board of 5,000
	@.ci/need redis-server
	FLAPPING=1 go test -count=1 -timeout 20m ./gateway -run 'TestReloadsAndFlapping|TestAReconnectStorm|TestABoardOf' -v

soak: ## crowd after crowd under random faults for SOAK=20m; SEED=1
	@.ci/need redis-server
	SOAK=$(or $(SOAK),20m) SEED=$(or $(SEED),1) go test -race -count=1 -timeout 60m ./gateway -run '^TestSoak$$' -v

clean: ## remove what make built; the demo's data folder stays
	rm -rf bin web/.build load.json
