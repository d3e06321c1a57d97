# make            ./run and the programs of tools/, beside their sources
# make demo       a first text, from the model that comes along
# make test       builds and runs all tests; the last line is the sum
# make asan       the same under the address and undefined-behaviour sanitizers
# make fuzz       damaged files of every format, for SECONDS (60), under the sanitizers: see tests/fuzz.c
# make coverage   runs all tests and prints how much of each file they ran (VERBOSE=1: the lines they did not)
# make lib        libllama.a and the shared library
# make install    PREFIX (/usr/local) and DESTDIR; make uninstall takes it away again
# make clean      removes everything that was made
#
# CC, CFLAGS, LDFLAGS and AR are respected: CFLAGS replaces the -O below and adds to what the sources need.
# OpenMP is used if the compiler can link it; OPENMP=0 turns it off. BUILD is where objects go, OUT a
# prefix (with a slash) for the programs: both together keep a second build apart from the first.
# Written for GNU make 3.81, which macOS has.

# All cores, unless the caller says how many: the kernels take the compiler some seconds.
ifeq ($(filter -j% --jobs%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
endif

# -O2 compiles sooner, and but for the files named at "How fast" below it runs as fast.
LEVEL = -O2
CFLAGS ?= $(LEVEL)
PREFIX ?= /usr/local
OPENMP ?= auto
BUILD = .build
OUT =

VERSION := $(shell sed -n 's/^.define LLAMA_VERSION "\(.*\)"/\1/p' llama.h)
SOVERSION := 0

ifeq ($(OPENMP),auto)
ifneq ($(filter-out clean uninstall,$(or $(MAKECMDGOALS),all)),)
OPENMP_FLAGS := $(shell mkdir -p $(BUILD) && printf '\043include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n' \
    | $(CC) $(CFLAGS) -fopenmp -x c - -o $(BUILD)/probe $(LDFLAGS) 2>/dev/null && echo -fopenmp)
endif
else
OPENMP_FLAGS := $(if $(filter-out 0,$(OPENMP)),-fopenmp)
endif

NEEDED := -std=c99 -Wall -Wextra $(OPENMP_FLAGS)
# Compiles and notes the headers in a file that this Makefile includes.
COMPILE = $(CC) $(NEEDED) $(CFLAGS) -MMD -MP -MF $(BUILD)/needs_$(subst /,_,$@) -MT $@
LINK = $(CC) $(NEEDED) $(CFLAGS)
LIBS := -lm
TEST_LIBS := -lpthread

# Each file of tools/ is a program; those of its folders are parts for all who need them. One of them, inside.o,
# contains llama.c, so libllama.a gives only the tokenizer to who links both.
MAINS := $(wildcard tools/*.c)
PARTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/*/*.c))
LIBRARIES := $(BUILD)/tools/parts.a $(BUILD)/libllama.a
# The object that libllama.a gets. A build that is only for tests takes tools/shared/inside, which contains the same, so
# that llama.c is compiled once; with sanitizers that takes half a minute.
LLAMA := llama
TOOLS := $(patsubst %.c,$(OUT)%,$(MAINS))
TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/test_*.c))
# Those that load files run a second time without mmap; and with the plain kernels, which compile sooner.
NO_MMAP_TESTS := $(patsubst tests/%.c,$(BUILD)/no_mmap/%,$(wildcard tests/test_checkpoint*.c tests/test_llama*.c tests/test_contract.c))
# What the scripts run.
HELPERS := $(patsubst %,$(BUILD)/tests/%,make_model example forks ahead host golden peer talk tokens)

# What takes longest is begun first.
all: $(BUILD)/$(LLAMA).o $(BUILD)/tools/shared/inside.o $(OUT)run $(TOOLS)

demo: $(OUT)run
	./$(OUT)run tools/model/austen.llama -s 1 -n 200 -p "It is a truth universally acknowledged, that"

# ---- Objects: rebuilt when a header or the flags change ----

FLAGS := $(subst ','\'',$(CC) $(NEEDED) $(CFLAGS) $(LDFLAGS))
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)/pic $(BUILD)/tests $(BUILD)/no_mmap/tools/shared $(sort $(dir $(PARTS))) $(OUT)tools tests/bin
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@

$(BUILD)/%.o: %.c $(BUILD)/flags
	$(COMPILE) -c -o $@ $<

$(BUILD)/pic/%.o: %.c $(BUILD)/flags
	$(COMPILE) -fPIC -c -o $@ $<

$(BUILD)/no_mmap/%.o: %.c $(BUILD)/flags
	$(COMPILE) -DLLAMA_NO_MMAP -DLLAMA_NO_SIMD -c -o $@ $<

# ---- How fast: gains of -O3 over -O2 that were measured ----
# llama and inside: the plain kernels 2.7 times (q8), which gcc turns into vectors only then; gguf_types: 1.5 to 3
# times, of decoding; tokenizer 1.2; bpe, compute, grad, writer 1.1; encode and rounding, whose loops become vectors, 1.3.
HOT := llama tokenizer pic/llama pic/tokenizer tools/shared/inside tools/formats/gguf_types tools/formats/writer \
    tools/formats/encode tools/formats/rounding tools/shared/compute tools/training/bpe tools/training/grad
$(HOT:%=$(BUILD)/%.o): LEVEL = -O3

# Archives, so that a program that includes llama.c itself does not get a second one.
$(BUILD)/libllama.a: $(BUILD)/$(LLAMA).o $(BUILD)/tokenizer.o
$(BUILD)/tools/parts.a: $(PARTS)
%.a:
	rm -f $@
	$(AR) rcs $@ $^

# ---- Programs ----

$(OUT)run: $(BUILD)/run.o $(BUILD)/libllama.a
	$(LINK) -o $@ $^ $(LDFLAGS) $(LIBS)

$(OUT)tools/%: tools/%.c $(LIBRARIES)
	$(COMPILE) -o $@ $< $(LIBRARIES) $(LDFLAGS) $(LIBS)

$(BUILD)/tests/%: tests/%.c $(LIBRARIES)
	$(COMPILE) -I. -o $@ $< $(LIBRARIES) $(LDFLAGS) $(LIBS) $(TEST_LIBS)

NO_MMAP := $(BUILD)/no_mmap/tools/shared/inside.o
$(NO_MMAP_TESTS): $(BUILD)/no_mmap/%: tests/%.c $(NO_MMAP) $(LIBRARIES)
	$(COMPILE) -DLLAMA_NO_MMAP -DLLAMA_NO_SIMD -o $@ $< $(NO_MMAP) $(LIBRARIES) $(LDFLAGS) $(LIBS) $(TEST_LIBS)

# Both implementations are inside, so no library.
$(BUILD)/tests/header_only: tests/header_only.c $(BUILD)/flags
	$(COMPILE) -o $@ $< $(LDFLAGS) $(LIBS)

# The C++ caller: left out where there is no C++ compiler. Without exceptions it links as C, at -O0 too.
$(BUILD)/tests/host: tests/host.cpp llama.h tokenizer.h $(BUILD)/libllama.a
	@rm -f $@; if echo 'int main() { return 0; }' | $(CC) -x c++ -fsyntax-only - 2>/dev/null; then set -x; \
	    $(CC) -x c++ -std=c++98 -fno-exceptions -Wall -Wextra -Wpedantic $(filter-out -std=%,$(CFLAGS)) -c -o $@.o $< && \
	    $(LINK) -o $@ $@.o $(BUILD)/libllama.a $(LDFLAGS) $(LIBS); fi

# The implementations inside C++, as 98 and as 20: all of it checked with warnings as errors, then run, with the plain
# kernels, which compile sooner. Where the compiler cannot do that the test is skipped.
$(BUILD)/tests/header_only_cpp%: tests/header_only.cpp $(wildcard llama.[ch] tokenizer.[ch]) tests/test.h $(BUILD)/flags
	@if echo 'int main() { return 0; }' | $(CC) -x c++ -std=c++$* -fsyntax-only - 2>/dev/null; then set -ex; \
	    $(CC) -x c++ -std=c++$* -Wall -Wextra -Werror -fsyntax-only $<; \
	    $(CC) -x c++ -std=c++$* -fno-exceptions -Wall -Wextra $(OPENMP_FLAGS) $(filter-out -std=%,$(CFLAGS)) \
	        -DLLAMA_NO_SIMD -c -o $@.o $<; \
	    $(LINK) -o $@ $@.o $(LDFLAGS) $(LIBS); \
	else \
	    printf '%s\n' '#!/bin/sh' 'echo "skipped: C++$*: the compiler has none"' \
	        'echo "0 passed, 0 failed, 1 skipped"' > $@ && chmod +x $@; fi

# ---- Libraries ----

ifeq ($(shell uname -s),Darwin)
SHARED := libllama.dylib
SHARED_REAL := libllama.$(VERSION).dylib
SHARED_NAME := libllama.$(SOVERSION).dylib
SHARED_FLAGS = -dynamiclib -install_name $(PREFIX)/lib/$(SHARED_NAME)
else
SHARED := libllama.so
SHARED_REAL := libllama.so.$(VERSION)
SHARED_NAME := libllama.so.$(SOVERSION)
SHARED_FLAGS = -shared -Wl,-soname,$(SHARED_NAME)
endif

lib: $(OUT)libllama.a $(OUT)$(SHARED)

$(OUT)libllama.a: $(BUILD)/libllama.a
	cp $< $@

$(OUT)$(SHARED): $(BUILD)/pic/llama.o $(BUILD)/pic/tokenizer.o
	$(LINK) $(SHARED_FLAGS) -o $@ $^ $(LDFLAGS) $(LIBS)

# The program is installed as llama-c: "run" says too little outside this directory, and llama-run is
# already a program of llama.cpp. The headers have a directory of their own, since others too have a tokenizer.h; and
# what is linked through pkg-config finds the library again, wherever PREFIX is.
PROGRAM := llama-c
INSTALLED := bin/$(PROGRAM) share/llama.c/austen.llama include/llama.c/llama.h include/llama.c/tokenizer.h lib/libllama.a lib/$(SHARED_REAL) \
    lib/$(SHARED_NAME) lib/$(SHARED) lib/pkgconfig/llama.pc

install: all lib
	mkdir -p "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/include/llama.c" "$(DESTDIR)$(PREFIX)/lib/pkgconfig" \
	    "$(DESTDIR)$(PREFIX)/share/llama.c"
	install -m 755 $(OUT)run "$(DESTDIR)$(PREFIX)/bin/$(PROGRAM)"
	install -m 644 tools/model/austen.llama "$(DESTDIR)$(PREFIX)/share/llama.c/austen.llama"
	install -m 644 llama.h tokenizer.h "$(DESTDIR)$(PREFIX)/include/llama.c"
	install -m 644 $(OUT)libllama.a "$(DESTDIR)$(PREFIX)/lib"
	install -m 755 $(OUT)$(SHARED) "$(DESTDIR)$(PREFIX)/lib/$(SHARED_REAL)"
	ln -sf $(SHARED_REAL) "$(DESTDIR)$(PREFIX)/lib/$(SHARED_NAME)"
	ln -sf $(SHARED_NAME) "$(DESTDIR)$(PREFIX)/lib/$(SHARED)"
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: llama' \
	    'Description: runs Llama-family language models on a CPU' 'Version: $(VERSION)' \
	    'Cflags: -I$${includedir}/llama.c' 'Libs: -L$${libdir} -Wl,-rpath,$${libdir} -lllama' 'Libs.private: $(LIBS) $(OPENMP_FLAGS)' \
	    > "$(DESTDIR)$(PREFIX)/lib/pkgconfig/llama.pc"

uninstall:
	cd "$(DESTDIR)$(PREFIX)" && rm -f $(INSTALLED) && rmdir share/llama.c include/llama.c

# ---- Tests ----

SCRIPTS = $(wildcard tests/test_*.sh)
HEADER_ONLY := $(BUILD)/tests/header_only $(BUILD)/tests/header_only_cpp98 $(BUILD)/tests/header_only_cpp20
PROGRAMS := $(TESTS) $(HEADER_ONLY) $(NO_MMAP_TESTS)
test: all $(PROGRAMS) $(HELPERS)
	@BUILD=$(BUILD) RUN=./$(OUT)run TOOLS=./$(OUT)tools sh tests/run_tests.sh $(PROGRAMS) $(SCRIPTS)

# Without those that contain the implementations once more, which take long to compile: how they compile is all they test.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
asan:
	@ASAN_OPTIONS="allocator_may_return_null=1:$$ASAN_OPTIONS" UBSAN_OPTIONS="print_stacktrace=1:$$UBSAN_OPTIONS" \
	    $(MAKE) --no-print-directory BUILD=.build/asan OUT=.build/asan/out/ LLAMA=tools/shared/inside HEADER_ONLY= \
	    CFLAGS='-O1 -g1 -fno-omit-frame-pointer $(SANITIZE)' LDFLAGS='$(SANITIZE) $(LDFLAGS)' test

# Tests that limit the size of files limit gcov's too, and fail: hence the minus.
coverage:
	@find .build/coverage -name '*.gcda' -exec rm -f {} + 2>/dev/null || true
	-@$(MAKE) --no-print-directory BUILD=.build/coverage OUT=.build/coverage/out/ \
	    CFLAGS='-O0 --coverage -fprofile-update=atomic' LDFLAGS='--coverage $(LDFLAGS)' test
	@sh tests/coverage.sh .build/coverage

# In an object of its own what is tested tells which way each input takes. Failing inputs stay in .build/fuzz.
SECONDS ?= 60
TARGET =
FUZZ_CHECKS := $(SANITIZE) -fsanitize=float-cast-overflow
fuzz:
	@$(MAKE) --no-print-directory BUILD=.build/fuzz OUT=.build/fuzz/out/ OPENMP=0 \
	    CFLAGS='-O1 -g1 -fno-omit-frame-pointer $(FUZZ_CHECKS)' LDFLAGS='$(FUZZ_CHECKS) $(LDFLAGS)' .build/fuzz/fuzz
	.build/fuzz/fuzz -t $(SECONDS) -o .build/fuzz $(TARGET)

$(BUILD)/fuzz_targets.o: tests/fuzz_targets.c $(BUILD)/flags
	$(COMPILE) -fsanitize-coverage=trace-pc -c -o $@ $<

$(BUILD)/fuzz: tests/fuzz.c $(BUILD)/fuzz_targets.o
	$(COMPILE) -o $@ $< $(BUILD)/fuzz_targets.o $(LDFLAGS) $(LIBS)

clean:
	rm -rf .build tests/bin run libllama.* $(MAINS:.c=)

FORCE:
.PHONY: all demo lib install uninstall test asan coverage fuzz clean FORCE
.DELETE_ON_ERROR:
.SUFFIXES:
-include $(wildcard $(BUILD)/needs_*)
