# Fairlead. `make help` lists what there is.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath
TAGS    := urfave_cli_no_docs
# Keys in clouds: make build KMS=kms for all, or KMS="kms_aws kms_vault".
KMS     ?=
PLUGIN  := sigstore-kms-pkcs11
TOOLS   := fairlead-sign:signer fairlead-repo:tufrepo fairlead-agent:agent fairlead-sim:simulator

# The race detector needs a C compiler; without one the tests run without it, and say so. It does not watch SQLite, which
# is C turned into Go, nor the arithmetic of signatures, nor those who compress: they would take most of the time.
BLIND := modernc.org/... github.com/klauspost/compress/... compress/... crypto/internal/fips140/... math/big
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo "-race $(BLIND:%=-gcflags=%=-race=false)")

# No paths, so that each checkout finds what another one has compiled; and without the detector as the tools are built, of
# which many tests build some.
TESTING := -trimpath -vet=all -timeout 10m '-ldflags=-s -w'
PLAINLY := CGO_ENABLED=0 $(GO) test $(TESTING) -tags $(TAGS)

# Packages that start hundreds of processes, or the same one hundreds of thousands of times, or do one thing after the
# other, most of it signatures, or stand on much code of others: with the race detector they take five to ten times as long.
# The rooms below and around them are tested with it, and make test-long tests with it those of these that it can see into.
PLAIN := ./test/qemu ./test/crash ./test/faults ./test/attack ./test/demo ./test/conformance ./signer/cmd/fairlead-sign ./tufrepo/cmd/fairlead-repo \
  ./tufrepo ./tufrepo/bundle ./tufrepo/attest/keyless ./tufrepo/attest/keyless/keylesstest ./tufrepo/keyfile ./tufrepo/direction ./tufrepo/director/rollout ./tufrepo/director/audit \
  ./agent/boot ./simulator/virtual
# Packages of benchmarks alone.
IDLE := ./test/bench ./test/peers
WATCHED = $(filter-out $(PLAIN:./%=%) $(IDLE:./%=%),$(patsubst github.com/fairlead/fairlead/%,%,$(shell $(GO) list ./...)))

# A program with the race detector sleeps for a second when it ends.
export GORACE := atexit_sleep_ms=0

.PHONY: help build test test-long long-reliability long-race long-sizes long-fuzz bench bench-peers lint size demo need clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build the four tools into bin/, and the plugin for tokens where there is a C compiler
	@for t in $(TOOLS); do n=$${t%%:*}; d=$${t#*:}; \
	  echo "building bin/$$n"; $(BUILD) -tags '$(TAGS) $(KMS)' -ldflags '$(LDFLAGS)' -o bin/$$n ./$$d/cmd/$$n || exit 1; done
	@command -v $${CC:-cc} >/dev/null 2>&1 || { echo "no C compiler: without bin/$(PLUGIN), for keys on tokens (apt-get install gcc libc6-dev)"; exit 0; }; \
	  echo "building bin/$(PLUGIN)"; CGO_ENABLED=1 $(GO) build -trimpath -ldflags '-s -w' -o bin/$(PLUGIN) ./signer/cmd/$(PLUGIN)

need: # says what the machine lacks before anything starts
	@command -v mkfs.ext4 >/dev/null 2>&1 || PATH=$$PATH:/sbin:/usr/sbin command -v mkfs.ext4 >/dev/null 2>&1 || \
	  { echo "mkfs.ext4 is missing: apt-get install e2fsprogs"; exit 1; }
	@command -v strace >/dev/null 2>&1 || { echo "strace is missing: apt-get install strace"; exit 1; }

demo: need build ## show the whole path: build, sign, publish, direct, install, prove, commit
	$(GO) run ./test/demo -bin bin

# One package more at a time than there are processors: many tests wait for others.
AT_ONCE := $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))

# Tests sync thousands of files; where there is room for them in memory they need not wait for a disk.
SCRATCH := $(shell df -k --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 6000000 {print "TMPDIR=/dev/shm"}')

test: need ## every test of ten minutes or less in all, with the race detector
	@test -n '$(RACE)' || echo "no C compiler: testing without the race detector (apt-get install gcc)"
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) vet -trimpath -tags $(TAGS) $(IDLE)
	@$(SCRATCH) $(PLAINLY) -p 2 -v $(PLAIN) >bin/plain.log & plain=$$!; \
	$(SCRATCH) $(GO) test $(TESTING) -p $(AT_ONCE) $(RACE) $(WATCHED:%=./%); watched=$$?; \
	wait $$plain || { grep -vE '^ *(=== |--- PASS)' bin/plain.log; exit 1; }; exit $$watched
	@grep '^ok' bin/plain.log; test/figures.sh bin/plain.log

# What docs/reliability.md has the figures of.
RELIABILITY := test/soak|test/qemu|test/crash|test/faults|test/attack|test/boot|test/rauc

# Emulators and whole programs have nothing for the race detector to see.
RACY := $(filter-out ./test/qemu ./test/demo,$(PLAIN))

test-long: need long-reliability long-race long-sizes long-fuzz ## the long ones as well, for hours: every power cut, sizes around 2^31 and 2^32, fuzzing
	@test/figures.sh bin/reliability.log

long-reliability: # as root; test/qemu/debian.sh first
	@mkdir -p bin
	@$(GO) test -tags long -p $(AT_ONCE) -timeout 3h -v $(addprefix ./,$(subst |, ,$(RELIABILITY))) >bin/reliability.log || \
	  { grep -vE '^ *(=== |--- PASS)' bin/reliability.log; exit 1; }

long-race:
	$(GO) test $(RACE) -ldflags=-w -timeout 60m $(RACY)

long-sizes:
	$(GO) test -tags long -timeout 60m $$($(GO) list ./... | grep -vE '/($(RELIABILITY))$$')
	$(GO) test -tags kms ./tufrepo/keyref ./tufrepo/director/kms

long-fuzz:
	test/fuzz.sh 20s

bench: build ## the figures, as Go benchmarks
	$(GO) test -run '^$$' -bench . -benchtime 3x -timeout 60m ./test/bench
	$(GO) test -run '^$$' -bench . -timeout 30m $$($(GO) list ./... | grep -v /test/)
	@echo "beside other tools, as root, with Debian's packages, for an hour or more: make bench-peers"

bench-peers: ## the figures beside those of other tools, on images that are made at the first run
	$(GO) test -run '^$$' -bench . -timeout 12h ./test/peers

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

size: ## bytes of each binary, stripped, linux/arm64
	@for t in $(TOOLS); do n=$${t%%:*}; d=$${t#*:}; \
	  GOOS=linux GOARCH=arm64 $(BUILD) -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/arm64/$$n ./$$d/cmd/$$n || exit 1; \
	  printf '%10d  %s\n' $$(stat -c %s bin/arm64/$$n) $$n; done

clean: ## remove what make built
	rm -rf bin
