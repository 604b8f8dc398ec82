# What people do here, by one word each: `make` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Where `make install` puts things: below PREFIX and SYSCONFDIR; DESTDIR comes before both, for packages.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=

# `make demo KEEP=1` leaves the demo running.
export KEEP

# Programs that the lab starts: they must be built before tests and the demo run them.
PROGRAMS := -p tuplenet-agent -p tuplenet-tpctl -p tuplenet-lab
# Crates whose every test runs on a laptop: no root, no daemons.
PURE := -p tuplenet-model -p tuplenet-datalog -p tuplenet-rules
# Where cargo puts programs, wherever the user has told it to.
TARGET = $$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

.PHONY: help
help: ## This list
	@echo 'TupleNet: make WORD, where WORD is one of'
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r word what; do printf '  %-10s %s\n' "$$word" "$$what"; done

.PHONY: demo
demo: ## Two hosts and one virtual network on this machine (root); KEEP=1 leaves it running
	@scripts/setup demo
	@cargo build $(PROGRAMS)
	@exec "$(TARGET)/debug/tuplenet-lab" demo

.PHONY: demo-edge
demo-edge: ## Two edges to a physical network, one of which is lost (root); KEEP=1 leaves it running
	@scripts/setup demo
	@cargo build $(PROGRAMS)
	@exec "$(TARGET)/debug/tuplenet-lab" demo-edge

.PHONY: demo-stop
demo-stop: ## End what `make demo KEEP=1` or `make demo-edge KEEP=1` left running (root)
	@[ -x "$(TARGET)/debug/tuplenet-lab" ] || cargo build -q -p tuplenet-lab
	@exec "$(TARGET)/debug/tuplenet-lab" stop demo

.PHONY: setup
setup: ## Install what is missing for everything below (root, Debian)
	@scripts/setup test

.PHONY: build
build: ## Build the programs for use: tuplenet and tpctl, with all optimizations
	cargo build --release -p tuplenet-agent -p tuplenet-tpctl

# What was built, by default by `make build`. Nothing is compiled here, so that root need not run cargo's build.
BUILT ?= $(TARGET)/release

.PHONY: install
install: ## Install what `make build` built, units, sample, man pages, completions; PREFIX, SYSCONFDIR, DESTDIR (root)
	@umask 022; built="$(BUILT)"; d='$(DESTDIR)$(PREFIX)'; c='$(DESTDIR)$(SYSCONFDIR)/tuplenet'; \
	for program in tuplenet tpctl; do \
	    [ -x "$$built/$$program" ] || { echo "there is no $$built/$$program: run 'make build' first" >&2; exit 1; }; \
	    install -D -m 755 "$$built/$$program" "$$d/bin/$$program"; \
	done; \
	for unit in tuplenet-agent tuplenet-store; do \
	    install -d "$$d/lib/systemd/system"; \
	    sed -e 's|/usr/bin/tuplenet|$(PREFIX)/bin/tuplenet|' -e 's|/etc/tuplenet|$(SYSCONFDIR)/tuplenet|' dist/$$unit.service >"$$d/lib/systemd/system/$$unit.service"; \
	    chmod 644 "$$d/lib/systemd/system/$$unit.service"; \
	done; \
	install -D -m 644 dist/agent.toml "$$d/share/doc/tuplenet/agent.toml"; \
	[ -e "$$c/agent.toml" ] || install -D -m 600 dist/agent.toml "$$c/agent.toml"; \
	"$$built/tpctl" man "$$d/share/man/man1"; \
	complete() { install -d "$$d/share/$$2" && "$$built/tpctl" completion "$$1" >"$$d/share/$$2/$$3" && chmod 644 "$$d/share/$$2/$$3"; }; \
	complete bash bash-completion/completions tpctl; \
	complete zsh zsh/site-functions _tpctl; \
	complete fish fish/vendor_completions.d tpctl.fish; \
	echo "installed below $$d; the configuration is $$c/agent.toml; next: docs/real-hosts.md"

.PHONY: uninstall
uninstall: ## Remove what `make install` put there, but for the configuration (root)
	@d='$(DESTDIR)$(PREFIX)'; rm -f "$$d"/bin/{tuplenet,tpctl} "$$d"/lib/systemd/system/tuplenet-{agent,store}.service \
	    "$$d"/share/man/man1/tpctl{,-*}.1 "$$d"/share/bash-completion/completions/tpctl "$$d"/share/zsh/site-functions/_tpctl \
	    "$$d"/share/fish/vendor_completions.d/tpctl.fish "$$d"/share/doc/tuplenet/agent.toml

# Cargo builds the programs that labs start before it runs the first test, as their packages have tests of their own. To build them
# beforehand by `cargo build` would compile most crates twice: there they have other features than where tests ask for more.
.PHONY: test
test: setup ## All tests, those with real hosts too (root)
	cargo test --workspace --no-fail-fast

.PHONY: check
check: ## Format, lint and the quick tests: before each commit; no root
	cargo fmt --all --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	cargo test -q --workspace --lib --bins
	cargo test -q $(PURE) --tests

.PHONY: lint
lint: ## Clippy with warnings as errors, and licences, sources and advisories of all dependencies
	cargo clippy --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; \
	else echo 'cargo-deny is not installed; it checks licences and advisories (deny.toml): cargo install --locked cargo-deny' >&2; fi

.PHONY: fmt
fmt: ## Format all code
	cargo fmt --all

.PHONY: bench
bench: setup ## The benchmarks, with setup, command and peers in the same run (root); docs/benchmarks.md explains them
	cargo build --release $(PROGRAMS)
	cargo bench -p tuplenet-datalog --bench flows
	cargo bench -p tuplenet-rules --bench engine
	cargo bench $(PROGRAMS) --bench agent

.PHONY: clean
clean: ## Remove what was built
	cargo clean
