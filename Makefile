# Everything that is done often. `make image` and `make test` do all set-up on a Debian machine that has cargo.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
# What `make image` builds, and where; the format's ending is added. Another: make image ELEMENTS="vm debian-minimal"
ELEMENTS ?= vm rocky-minimal
IMAGE ?= out/rocky

# Only setting up, building images and running the tests need root.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
BINARY := target/$(HOST)/release/image-create
RUNNER := CARGO_TARGET_$(shell echo $(HOST) | tr 'a-z-' 'A-Z_')_RUNNER
# The binary's other names on a host.
NAMES := disk-image-create ramdisk-image-create diskimage-builder element-info dib-run-parts dib-block-device dib-lint
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
DIST := target/dist
SCRIPTS := .ci/run $(wildcard tests/setup/*.sh packaging/*.sh tests/rocky-standin/*.sh bench/*.sh fuzz/*.sh)

.PHONY: help build image test test-migration standin lint bench bench-initramfs bench-rocky install install-files dist setup-build setup-test setup-standin setup-dist
help:
	@echo "make image    install what is missing, build the program, build $(IMAGE).qcow2 from: $(ELEMENTS)"
	@echo "make test     install what the tests need and run them all"
	@echo "make test-migration  run the tests that make test leaves out because they take half an hour"
	@echo "make standin  build the stand-in for Rocky Linux's repositories that the tests use (tests/rocky-standin)"
	@echo "make lint     formatting, clippy, shellcheck"
	@echo "make bench    build the same image with diskimage-builder and with this program, and compare"
	@echo "make bench-initramfs  make and edit initramfs images with the usual tools and with this program, and compare"
	@echo "make bench-rocky  measure the stand-in, a Rocky image from it, and its boot"
	@echo "make install  into DESTDIR$(PREFIX)"
	@echo "make dist     a Debian package and a tarball of the static program, in $(DIST)"

setup-build:
	tests/setup/check-cargo.sh
	tests/setup/install-packages.sh tests/setup/build-packages.txt

setup-dist: setup-build
	packaging/install-cargo-deb.sh

setup-standin:
	tests/setup/install-packages.sh tests/rocky-standin/host-packages.txt

setup-test: setup-build setup-standin
	tests/setup/install-packages.sh tests/setup/test-packages.txt
	tests/setup/unpack-test-data.sh tests/setup/test-data.txt target/test-data
	tests/setup/fetch-elements.sh tests/setup/element-trees.txt target/test-data

build:
	$(CARGO) build --release --locked

image: setup-build build
	mkdir -p $(dir $(IMAGE))
	$(SUDO) $(if $(filter rocky-minimal,$(ELEMENTS)),tests/rocky-standin/with-mirror.sh) $(BINARY) -o $(IMAGE) $(ELEMENTS)

# The tests that build and boot images run as root; so do the others then.
test: setup-test
	$(if $(SUDO),$(RUNNER)='$(SUDO) -E') $(CARGO) test --locked --workspace

# The three longest: machines with UEFI and SATA, and with NVMe and three power cuts, that are moved; updates of two systems.
test-migration: setup-test
	$(if $(SUDO),$(RUNNER)='$(SUDO) -E') $(CARGO) test --locked --test boot -- --ignored

# Not Rocky Linux: Debian's files in RPMs with Rocky's names. Built once and kept.
standin: setup-standin
	$(SUDO) tests/rocky-standin/build.py

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	shellcheck $(SCRIPTS) $(wildcard lib/*)
	@# Hooks and other scripts of elements: whatever starts with a shell's name.
	find $(wildcard elements tests/elements tests/rocky-standin/files) -type f -exec awk 'FNR == 1 && /^#!.*(bash|\/sh)/ { print FILENAME } { nextfile }' {} + \
	    | xargs -r shellcheck

bench: setup-build build
	$(SUDO) bench/compare-dib.sh $(BINARY)

bench-initramfs: setup-test build
	$(SUDO) bench/initramfs.sh $(BINARY)

bench-rocky: setup-build setup-standin build
	$(SUDO) bench/rocky-standin.sh $(BINARY)

install: build install-files

# The program that was built, under all its names, with its man page and the completions of shells.
install-files:
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/image-create
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BINARY) man > $(DESTDIR)$(PREFIX)/share/man/man1/image-create.1
	for name in $(NAMES); do \
	    ln -sf image-create $(DESTDIR)$(PREFIX)/bin/$$name || exit 1; \
	    ln -sf image-create.1 $(DESTDIR)$(PREFIX)/share/man/man1/$$name.1 || exit 1; \
	done
	$(BINARY) completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/image-create
	$(BINARY) completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_image-create
	$(BINARY) completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/image-create.fish

# Both hold the same tree: what an installation with an empty PREFIX writes.
dist: setup-dist build
	rm -rf $(DIST)
	$(MAKE) install-files DESTDIR=$(DIST)/tree PREFIX=
	packaging/tarball.sh $(DIST)/tree $(DIST)/image-create-$(VERSION)-$(HOST).tar.gz
	packaging/deb.sh $(DIST)/tree $(DIST)
