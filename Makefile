# `make` alone lists the targets.

CARGO ?= cargo
GO ?= go
KUBECTL ?= kubectl

# The Go that is installed is used as it is: nothing downloads another toolchain.
export GOTOOLCHAIN := local
export CGO_ENABLED := 0

# Tools that lint needs and cargo can install go below the build folder, at a pinned version.
TOOLS := target/tools
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
# And those that an image needs: they write into it what it is made of.
CARGO_AUDITABLE_VERSION := 0.7.7
CARGO_AUDITABLE := $(TOOLS)/cargo-auditable-$(CARGO_AUDITABLE_VERSION)/bin/cargo-auditable
CARGO_ABOUT_VERSION := 0.9.3
CARGO_ABOUT := $(TOOLS)/cargo-about-$(CARGO_ABOUT_VERSION)/bin/cargo-about

# The minor version of Kubernetes that the end-to-end tests run on; e2e/src/assets/kubernetes.rs has the list.
KUBERNETES ?= 1.36
export AZWIB_KUBERNETES := $(KUBERNETES)

GO_MODULES := e2e/go/webhook e2e/go/promlint e2e/go/monitors
BINARIES := $(or $(CARGO_TARGET_DIR),target)/debug

.DEFAULT_GOAL := help

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Bring up a local cluster, Azure's simulator and the operator, apply examples/, show a token exchange. ONCE=1: then exit.
	$(CARGO) build --workspace --bins
	@$(BINARIES)/assets > /dev/null
	@$(BINARIES)/demo $(if $(ONCE),--once)

.PHONY: deploy
deploy: ## Apply config/default to the cluster that kubectl points at (fill in a copy of config/overlays/template first: OVERLAY=path).
	$(KUBECTL) apply -k $(or $(OVERLAY),config/default)

.PHONY: undeploy
undeploy: ## Remove the operator from that cluster; the CRDs stay. Refused while there are bindings, which nothing would clean up behind.
	@bindings="$$($(KUBECTL) get workloadidentitybindings.azwib.dev --all-namespaces --output name)" \
		|| { echo "whether there are bindings is not known, so nothing is removed" >&2; exit 1; }; \
		test -z "$$bindings" || { echo "delete these first: $$bindings" >&2; exit 1; }
	$(KUBECTL) delete --ignore-not-found -k config/manager
	$(KUBECTL) delete --ignore-not-found -k config/admission
	$(KUBECTL) delete --ignore-not-found -k config/rbac

##@ Develop

.PHONY: build
build: ## Build every binary and library of the workspace.
	$(CARGO) build --workspace

.PHONY: fmt
fmt: ## Format Rust and Go sources.
	$(CARGO) fmt --all
	gofmt -w e2e/go

.PHONY: crds
crds: ## Write the CRDs (config/crd/, config/charts/), their references (docs/reference/) and a schema of grants from the types in crds/.
	$(CARGO) run --quiet -p azwib-crds --features crdgen --bin crdgen

.PHONY: assets
assets: ## Build the local control plane, the webhook and the linter of metrics from their pinned Go modules, once (about 5 minutes when cold).
	$(CARGO) run --quiet --bin assets

##@ Check

# The packages whose modules must not import each other in a circle.
PACKAGES := crds operator e2e e2e/azure-simulator e2e/conformance e2e/image e2e/module-graph e2e/operator-unguarded e2e/simulation

CLIPPY_FEATURES := --workspace --all-targets --features azwib-crds/crdgen,azwib-simulation/deliberate-bugs
CLIPPY := $(CARGO) clippy $(CLIPPY_FEATURES) -- -D warnings
CLIPPY_WITHOUT_TRACES := $(CARGO) clippy $(CLIPPY_FEATURES) --no-default-features -- -D warnings

.PHONY: lint
lint: $(CARGO_DENY) ## Formatting, clippy, circles of modules, dependency rules (deny.toml), go vet, workflows. Fails on any warning.
	$(CARGO) fmt --all -- --check
	$(CARGO) run --quiet -p module-graph -- $(PACKAGES:%=%/src)
	$(CLIPPY)
# The operator without traces, which nothing else builds.
	$(CLIPPY_WITHOUT_TRACES)
	$(CARGO_DENY) check bans licenses sources
	@unformatted="$$(gofmt -l e2e/go)" && test -z "$$unformatted" || { echo "gofmt: $$unformatted" >&2; exit 1; }
	for module in $(GO_MODULES); do (cd $$module && $(GO) vet ./...) || exit 1; done
	cd e2e/go/actionlint && $(GO) tool actionlint ../../../.github/workflows/*.yml

.PHONY: check-generated
check-generated: ## Fail when a generated file differs from what its source says.
	$(CARGO) run --quiet -p azwib-crds --features crdgen --bin crdgen -- --check

# End-to-end tests wait more than they compute, and each program has clusters of its own: several run side by side.
E2E_JOBS ?= 3
test-names = $(sort $(patsubst $(1)/tests/%.rs,%,$(wildcard $(1)/tests/*.rs)) $(patsubst $(1)/tests/%/main.rs,%,$(wildcard $(1)/tests/*/main.rs)))
E2E_TESTS := $(call test-names,e2e)
OTHER_TESTS := $(foreach package,crds operator e2e/azure-simulator e2e/conformance,$(call test-names,$(package)))
# Its leases are short: where others take the machine, they run out.
E2E_ALONE := leader_election
# They take longer than a developer waits for. `make test-all` runs them.
E2E_LONG := attacks azure_outage conduct crash crash_points crowded_account gitops_guide grants large_objects ledger letting_go lost_writes \
	many_bindings neighbours pods reasons restarts statuses token_memory user_guide
# The checks over the records that need not see the records of every program.
RECORDED_OF_SOME := no_log_of_the_operator every_status_that_was_seen no_request_of_the_operator

# The longest ones have more tests than cores at work: each of them mostly waits, for the operator's next look or for a probe.
e2e-binding e2e-pods: export RUST_TEST_THREADS := 4

.PHONY: $(addprefix e2e-,$(E2E_TESTS))
$(addprefix e2e-,$(E2E_TESTS)): e2e-%:
	$(CARGO) test --quiet --workspace --test $*

test: E2E_NOW := $(filter-out $(E2E_ALONE) $(E2E_LONG),$(E2E_TESTS))
test: ALONE_NOW := takeover::
test: RECORDED_NOW := $(RECORDED_OF_SOME)
test: PROOF_NOW := --test seeds

test-all: E2E_NOW := $(filter-out $(E2E_ALONE),$(E2E_TESTS))

test-kubernetes: E2E_NOW := $(filter-out $(E2E_ALONE) $(E2E_LONG),$(E2E_TESTS))
test-kubernetes: ALONE_NOW := takeover::
test-kubernetes: RECORDED_NOW := $(RECORDED_OF_SOME)

# What the end-to-end tests see goes to a fresh folder, and the last checks read all of it. A failure leaves it there.
define end-to-end
	$(BINARIES)/assets
	$(MAKE) --no-print-directory --keep-going --output-sync=target --jobs=$(E2E_JOBS) $(addprefix e2e-,$(E2E_NOW))
	$(CARGO) test --quiet --workspace --test $(E2E_ALONE) -- $(ALONE_NOW)
	$(CARGO) test --workspace --test recorded -- $(RECORDED_NOW)
	rm -rf "$$AZWIB_E2E_RECORDS"
endef

test test-all test-kubernetes: export AZWIB_E2E_RECORDS := $(abspath $(or $(CARGO_TARGET_DIR),target))/e2e-records-$(shell date -u +%Y%m%dT%H%M%SZ-$$PPID)

.PHONY: test test-all
test: ## What a change must pass: units, the simulator, 2,000 seeds, end to end on a real API server, Azure's own Python clients.
test-all: ## The same with every end-to-end test, and the bugs on purpose that the simulation has to find (about 35 minutes).
test test-all:
# Binaries and tests in one build: `cargo run` would pick other features and compile most dependencies a second time.
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace --lib --bins --examples $(addprefix --test ,$(OTHER_TESTS))
	$(end-to-end)
	$(CARGO) test --workspace --doc
	$(CARGO) test $(SIMULATION) $(PROOF_NOW)
	$(MAKE) test-python AZURE_SIMULATOR=$(abspath $(BINARIES))/azure-simulator
	$(MAKE) test-schemas

.PHONY: test-kubernetes test-matrix
test-kubernetes: ## The end-to-end tests of `make test` alone, on one version of Kubernetes (KUBERNETES=1.33).
	$(CARGO) build --workspace --bins --tests
	$(end-to-end)

test-matrix: ## The same on each version before the newest, one after the other (about 10 minutes each).
	for version in 1.35 1.34 1.33; do $(MAKE) --no-print-directory test-kubernetes KUBERNETES=$$version || exit 1; done

# The quickest end-to-end test in which the operator writes to a real API server and to Azure.
SMOKE := --test binding
SMOKE_TEST := creation::

.PHONY: check
check: export AZWIB_E2E_RECORDS := $(abspath $(or $(CARGO_TARGET_DIR),target))/check-records-$(shell date -u +%Y%m%dT%H%M%SZ-$$PPID)
check: ## What to run at each step: formatting, clippy, units, 200 seeds, one end-to-end test.
	$(CARGO) fmt --all -- --check
	$(CLIPPY)
# The smoke test is in this build so that it picks the same features as `make test`.
	$(CARGO) build --workspace --bins $(SMOKE)
	$(BINARIES)/assets
	$(CARGO) test --quiet --workspace --lib --bins $(addprefix --test ,$(call test-names,crds) $(call test-names,operator))
	$(CARGO) test --quiet --workspace $(SMOKE) -- $(SMOKE_TEST)
	rm -rf "$$AZWIB_E2E_RECORDS"
	$(MAKE) --no-print-directory soak SEEDS=200

# Not part of a build of the workspace: its features are none that the shipped operator should have.
SIMULATION := --profile simulation -p azwib-simulation --features deliberate-bugs

.PHONY: simulation
simulation: ## The proof by simulation: SEEDS=n runs (2,000) of the operator's own code, and the bugs on purpose that they have to find.
	$(CARGO) test $(SIMULATION)

.PHONY: soak
soak: ## As many runs of the simulation as wanted (SEEDS=n, FROM=n), or one with its trace (SEED=n). BUG=NAME: with that bug.
	$(CARGO) run --quiet $(SIMULATION) --bin soak -- $(if $(BUG),--bug $(BUG)) $(if $(SEED),--seed $(SEED),--counts --seeds $(or $(SEEDS),1000) --from $(or $(FROM),1))

.PHONY: test-upgrade
test-upgrade: export AZWIB_E2E_RECORDS := $(abspath $(or $(CARGO_TARGET_DIR),target))/upgrade-records-$(shell date -u +%Y%m%dT%H%M%SZ-$$PPID)
test-upgrade: ## An upgrade from the operator of the last release, built once from the commit in CHANGELOG.md (UPGRADE_FROM=COMMIT: from that one).
	e2e/upgrade/run
	rm -rf "$$AZWIB_E2E_RECORDS"

.PHONY: test-python
test-python: ## Azure's Python clients against the simulator. Skipped, with a word, where Python is missing; with CI set that fails.
	e2e/azure-simulator/clients/python/run

.PHONY: test-schemas
test-schemas: ## What config/ installs, by the published schemas of Kubernetes 1.29 to 1.36. Skipped without Python, as above.
	KUBECTL="$$($(CARGO) run --quiet --workspace --bin assets | grep '/kubectl$$')" e2e/schemas/run

##@ Azure itself

.PHONY: conformance
conformance: ## Ask a real Azure subscription what the simulator assumes (docs/conformance.md): ARGS='--subscription=GUID', or ARGS=--dry-run.
	$(CARGO) build --quiet -p azwib-conformance
	@$(BINARIES)/conformance $(ARGS)

##@ Charts

# Helm and helm-docs: nothing but these targets needs them, and `make test` does not build them.
.PHONY: chart-tools
chart-tools: ## Build Helm, helm-docs and a check of monitors from their pinned Go modules, once (about 4 minutes when cold).
	$(CARGO) run --quiet --bin assets -- helm helm-docs monitors

.PHONY: chart-docs
chart-docs: ## Write README.md of each chart from the comments of its values.yaml.
	helm_docs="$$($(CARGO) run --quiet --bin assets -- helm-docs)" && \
		"$$helm_docs" --chart-search-root config/charts --skip-version-footer --sort-values-order file --log-level warning

.PHONY: test-chart
test-chart: chart-tools ## The charts by the real Helm: the same as config/, each value, bad values, READMEs, on a real API server, with pods.
	$(CARGO) build --workspace --bins
	$(BINARIES)/assets
	$(CARGO) test --workspace --test chart

##@ Monitoring

# Prometheus' engine and promtool: nothing but this target needs them, and `make test` does not build them.
DASHBOARDS := test --workspace --test dashboards --
.PHONY: test-dashboards
test-dashboards: export AZWIB_E2E_RECORDS := $(abspath $(or $(CARGO_TARGET_DIR),target))/dashboards-records-$(shell date -u +%Y%m%dT%H%M%SZ-$$PPID)
test-dashboards: ## Alerts and dashboard by Prometheus' own engine and promtool (50 seconds, and 3 minutes more when cold). WRITE=1: take the scrapes anew.
	$(CARGO) build --workspace --bins
	$(BINARIES)/assets
	$(BINARIES)/assets prometheus
	cd e2e/go/prometheus && $(GO) vet ./...
ifdef WRITE
# The scrapes first, since the other writes what queries return of them.
	AZWIB_WRITE_SCRAPES=1 $(CARGO) $(DASHBOARDS) the_stored_scrapes
	AZWIB_WRITE_SCRAPES=1 $(CARGO) $(DASHBOARDS) every_query
endif
	$(CARGO) $(DASHBOARDS)
	rm -rf "$$AZWIB_E2E_RECORDS"

##@ Measure

# What users run is built in release mode, and so is all around it that takes processor time of its own.
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: bench
bench: ## Measure the operator (docs/benchmarks.md). CASES=200@0,steady: only these. JSON=FILE: write the figures.
	$(CARGO) build --release $(addprefix -p ,azwib-operator azure-simulator azwib-e2e) $(addprefix --bin ,azwib-operator azure-simulator supervisor bench)
	@$(RELEASE)/bench $(if $(CASES),--cases=$(CASES)) $(if $(JSON),--json=$(JSON))

##@ Release

.PHONY: image
image image-twice: export PATH := $(abspath $(dir $(CARGO_AUDITABLE))):$(abspath $(dir $(CARGO_ABOUT))):$(PATH)
image: $(CARGO_AUDITABLE) $(CARGO_ABOUT) ## Write the container image to target/image/, as an OCI layout and an archive (docs/image.md). No daemon is needed.
	e2e/image/build

.PHONY: image-twice
image-twice: $(CARGO_AUDITABLE) $(CARGO_ABOUT) ## Build the image of the last commit in two folders, from nothing. Fails where the digests differ.
	e2e/image/twice

# A network of its own: what is tried there reaches nobody, and a name server may have port 53.
.PHONY: test-image
test-image: export AZWIB_E2E_RECORDS := $(abspath $(or $(CARGO_TARGET_DIR),target))/image-records-$(shell date -u +%Y%m%dT%H%M%SZ-$$PPID)
test-image: export AZWIB_IMAGE := $(abspath $(or $(CARGO_TARGET_DIR),target))/image
test-image: image ## Build the image, unpack it and run the operator in it, in an empty root.
	$(CARGO) build --workspace --bins --tests
	$(BINARIES)/assets
	unshare --user --map-root-user --net -- sh -ec 'ip link set lo up; exec "$$@"' -- $(CARGO) test --offline --workspace --test image
	rm -rf "$$AZWIB_E2E_RECORDS"

$(CARGO_DENY):
	$(CARGO) install --locked --debug --root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)

$(CARGO_AUDITABLE):
	$(CARGO) install --locked --debug --root $(TOOLS)/cargo-auditable-$(CARGO_AUDITABLE_VERSION) cargo-auditable@$(CARGO_AUDITABLE_VERSION)

# Not in debug mode, in which it takes minutes to compare texts.
$(CARGO_ABOUT):
	$(CARGO) install --locked --features cli --root $(TOOLS)/cargo-about-$(CARGO_ABOUT_VERSION) cargo-about@$(CARGO_ABOUT_VERSION)
