# The two commands of the README are `make run` and `make check`; the rest is for maintainers.
BUILD ?= build
PROMPT ?= Which gfx is the Radeon RX 7900 XT?
RUN_OPTIONS ?=
SOAK_SECONDS ?= 3600
export CCACHE_DISABLE = 1

CHECK_SETUP = -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=true
# What ThreadSanitizer adds to the code hides from gcc that a variable is set before it is used.
THREADS_SETUP = -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false -Dwerror=true \
	-Dc_args=-Wno-maybe-uninitialized
# What the tests need that must be compiled first: ninja says nothing when there is nothing to do.
define compile
	@test -f $(1)/build.ninja || meson setup $(1) $(2) >$(1).log 2>&1 || { cat $(1).log; exit 1; }
	@ninja -C $(1) --quiet $(3)
endef

.PHONY: run build check check-heavy check-emulated bench soak fuzz deb portable canary lint format clean

run: build
	@$(BUILD)/run/src/cli/gfxbridge run $(RUN_OPTIONS) "$(PROMPT)"

build:
	@tools/install-deps build
	@mkdir -p $(BUILD)
	$(call compile,$(BUILD)/run,-Dbuildtype=release -Dtests=false)

check:
	@tools/install-deps build check
	@mkdir -p $(BUILD)
	$(call compile,$(BUILD)/run,-Dbuildtype=release -Dtests=false)
	$(call compile,$(BUILD)/check,$(CHECK_SETUP))
	$(call compile,$(BUILD)/threads,$(THREADS_SETUP),threads)
	@tools/run-tests $(BUILD)/check $(BUILD)/threads:threads

check-heavy: check
	@tools/install-deps heavy
	@tools/run-tests $(BUILD)/check:heavy

check-emulated:
	@tools/install-deps build check
	@mkdir -p $(BUILD)
	$(call compile,$(BUILD)/check,$(CHECK_SETUP))
	@tools/run-tests $(BUILD)/check:emulated

bench:
	@tools/install-deps build check heavy
	@mkdir -p $(BUILD)
	$(call compile,$(BUILD)/bench,-Dbuildtype=release)
	@bench/run $(BUILD)/bench/src/cli/gfxbridge

soak: build
	@tools/install-deps check
	@tests/soak.py $(BUILD)/run/src/cli/gfxbridge $(SOAK_SECONDS)

fuzz:
	@tools/install-deps build check heavy
	@fuzz/run $(BUILD)/fuzz

portable: build
	@tools/install-deps check
	@tools/make-portable $(BUILD)/run $(BUILD)

canary:
	@tools/install-deps build
	@tools/canary/train.sh

deb:
	@tools/install-deps build heavy
	@tools/make-deb $(BUILD)

lint:
	@tools/lint/all

format:
	@clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	@rm -rf $(BUILD)
