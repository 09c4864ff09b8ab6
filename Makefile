# A door to the scripts: `make` leaves the binary at build/hinge, the rest is listed by `make help`.
# Meson and Ninja do the work; how each tree is configured stands in tools/build_tree.sh.

prefix ?= /usr/local
sbindir ?= $(prefix)/sbin
mandir ?= $(prefix)/share/man
sysconfdir ?= /etc
localstatedir ?= /var
unitdir ?= $(prefix)/lib/systemd/system
DESTDIR ?=
INSTALL ?= install
PORT ?=

.PHONY: all help run test test-full unit bench bench-quick fuzz sanitize lint format style docs install uninstall clean

all:
	tools/build_tree.sh release

help:
	@echo 'make              build/hinge, the release build'
	@echo 'make run          the demonstration (PORT=8080)'
	@echo 'make test         all tests; make test-full: with ThreadSanitizer, soaks and long counts'
	@echo 'make unit         the unit tests on the release build'
	@echo 'make bench        CPU per request beside nginx and HAProxy, into docs/performance.md; make bench-quick: a look'
	@echo 'make fuzz         every fuzzer for a while'
	@echo 'make sanitize     unit tests and cases with ASan and UBSan, then with TSan'
	@echo 'make lint         clang-format, clang-tidy, cppcheck; make format: let clang-format repair'
	@echo 'make style        layers, sizes, forbidden functions'
	@echo 'make docs         docs/directives.md and the table in docs/from-nginx.md from the directive tables'
	@echo 'make install      binary, man page, systemd unit, default configuration (DESTDIR, prefix, sysconfdir, unitdir)'
	@echo 'make uninstall    takes them away again; the configuration stays'
	@echo 'make clean        removes the build trees'

run:
	./run $(PORT)

test:
	./test

test-full:
	./test --full

unit:
	tools/build_tree.sh release tests
	meson test -C build --no-rebuild --print-errorlogs

bench: all
	tools/packages.sh bench
	tests/bench/bench.py

bench-quick: all
	tools/packages.sh bench
	tests/bench/bench.py --quick

fuzz:
	./test --only fuzz

sanitize:
	./test --only asan,tsan

lint:
	@tools/packages.sh lint
	@tools/lint.sh

format:
	tools/packages.sh lint
	git ls-files 'src/*.[ch]' 'tests/*.[ch]' | grep -v '^tests/bench/limit/' | xargs clang-format -i

style:
	tools/check_style.py

docs: all
	tools/docs.py build/hinge

# The configuration of a machine is never overwritten.
install: all
	$(INSTALL) -D -m 755 build/hinge $(DESTDIR)$(sbindir)/hinge
	$(INSTALL) -D -m 644 man/hinge.8 $(DESTDIR)$(mandir)/man8/hinge.8
	$(INSTALL) -d $(DESTDIR)$(localstatedir)/log/hinge $(DESTDIR)$(unitdir)
	sed 's|/usr/sbin/|$(sbindir)/|g; s|/etc/hinge/|$(sysconfdir)/hinge/|g' dist/hinge.service >$(DESTDIR)$(unitdir)/hinge.service
	chmod 644 $(DESTDIR)$(unitdir)/hinge.service
	test -e $(DESTDIR)$(sysconfdir)/hinge/hinge.conf || \
		$(INSTALL) -D -m 644 dist/hinge.conf $(DESTDIR)$(sysconfdir)/hinge/hinge.conf

uninstall:
	rm -f $(DESTDIR)$(sbindir)/hinge $(DESTDIR)$(mandir)/man8/hinge.8 $(DESTDIR)$(unitdir)/hinge.service

clean:
	rm -rf build build-asan build-tsan build-fuzz build-lint
