# The commands of this project. `make run` and `make test` set up what they need; everything else is quick and says what it lacks.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

export PATH := $(CURDIR)/.tools/bin:$(PATH)
BUN := $(CURDIR)/.tools/bin/bun
OUT := $(CURDIR)/build

sources := $(shell find src -type f) package.json bun.lock scripts/build.ts
helpers := $(OUT)/banger-shim $(OUT)/banger-proxy $(OUT)/banger-dns-front $(OUT)/banger-tsc $(OUT)/banger-holder $(OUT)/banger-jail \
  $(OUT)/guest/banger-init $(OUT)/guest/banger-initramfs-init $(OUT)/guest/banger-vsock-pingd

.PHONY: help run test check build bench lab lab-shell clean products kernel bundle bundle-package install uninstall deb

help:
	@echo 'make run     set this machine up, build, boot a VM named hello and run a command in it'
	@echo 'make test    set this machine up and run every test it can run, real guests included'
	@echo 'make build   build/banger, bangerd and banger-root, and the native helpers'
	@echo 'make check   format, lint, types, architecture, generated files, fast tests'
	@echo 'make bench   measure, and write build/bench.json'
	@echo 'make lab     run guests on a real KVM host that is a virtual machine itself, Firecracker where it is found'
	@echo 'make kernel  the guest kernel of our own, from Debian'\''s sources into runtime/: ten minutes, once'
	@echo 'make bundle  the runtime bundle in runtime/: what is built here, what can be downloaded, the default image'
	@echo 'make bundle-package   the same as one archive in build/, the same bytes each time'
	@echo 'make install, make uninstall   into PREFIX (/usr/local) below DESTDIR; make deb: a Debian package in build/'
	@echo 'make clean   remove what was built'

run:
	@scripts/setup.sh run
	@$(MAKE) products
	@scripts/run.sh

test:
	@scripts/test.sh

build:
	@scripts/setup.sh build
	@$(MAKE) products

check:
	@scripts/setup.sh build
	@$(BUN) scripts/check.ts

bench:
	@scripts/setup.sh test
	@$(MAKE) products
	@$(BUN) bench/main.ts

lab:
	@scripts/setup.sh test
	@$(MAKE) products
	@$(BUN) scripts/lab/test.ts

lab-shell:
	@scripts/setup.sh test
	@$(MAKE) products
	@$(BUN) scripts/lab/shell.ts

# Kept in build/kernel by what it is made of; whoever has it gets it into the bundle, and nothing waits for it.
kernel:
	@scripts/setup.sh kernel
	@images/build-kernel.sh --cache $(OUT)/kernel >/dev/null
	@$(BUN) scripts/bundle.ts --kernel

bundle:
	@scripts/setup.sh run
	@$(MAKE) products
	@$(BUN) scripts/bundle.ts

bundle-package: bundle
	@$(BUN) scripts/bundle.ts --package $(OUT)/banger-runtime-$$(uname -m).tar.gz

# As root it installs what was built before as somebody else, and builds nothing.
install:
	@[ -x runtime/banger-shim ] && [ -x $(OUT)/banger ] || $(MAKE) bundle
	@scripts/install.sh install

uninstall:
	@scripts/install.sh uninstall

deb: bundle
	@scripts/deb.sh $(OUT)

clean:
	rm -rf build banger

products: $(OUT)/banger $(helpers)
	@:

$(OUT)/banger: $(sources)
	@$(BUN) scripts/build.ts

native_helpers := $(filter $(OUT)/banger-%,$(helpers))
$(native_helpers): $(OUT)/banger-%: native/build.sh
	sh native/build.sh $* $(OUT)
$(OUT)/banger-shim: $(wildcard native/shim/*)
$(OUT)/banger-proxy: $(wildcard native/proxy/*)
$(OUT)/banger-dns-front: $(wildcard native/dns-front/*)
$(OUT)/banger-tsc: $(wildcard native/tsc/*)
$(OUT)/banger-holder: $(wildcard native/holder/*)
$(OUT)/banger-jail: $(wildcard native/jail/*)
$(OUT)/guest/banger-init: $(wildcard guest/init/*)
	sh guest/init/build.sh $(OUT)/guest
$(OUT)/guest/banger-initramfs-init: $(wildcard guest/initramfs/*)
	sh guest/initramfs/build.sh $(OUT)/guest
$(OUT)/guest/banger-vsock-pingd: $(wildcard guest/pingd/*) package.json
	sh guest/pingd/build.sh $(OUT)/guest
