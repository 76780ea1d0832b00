// A package like Debian's linux-source around a "kernel" of ten lines: everything of a kernel build but the ten minutes.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** It has tinyconfig, an olddefconfig that drops CONFIG_GONE and insists on CONFIG_ALWAYS, and a vmlinux with or without a PVH note. */
const makefile = (note: string): string => `
include_release = $(O)/include/config/kernel.release
tinyconfig:
	echo 'CONFIG_TINY=y' >$(O)/.config
olddefconfig:
	sed -i -e '/^CONFIG_GONE=/d' -e '/CONFIG_ALWAYS/d' $(O)/.config
	echo 'CONFIG_ALWAYS=y' >>$(O)/.config
vmlinux:
	@echo "  CC      init/main.o"
	@if grep -q CONFIG_HANG=y $(O)/.config; then echo hanging >&2; sleep 600; fi
	@if grep -q CONFIG_BREAK=y $(O)/.config; then echo "main.c: no such thing" >&2; exit 1; fi
	mkdir -p $(O)/include/config
	echo "1.0-$(KBUILD_BUILD_USER)" >$(include_release)
	printf '.section .note.Xen,"a",@note\\n.long 4,4,${note}\\n.asciz "Xen"\\n.long 0\\n.text\\n.globl _start\\n_start: hlt\\n' >$(O)/main.S
	gcc -nostdlib -static -Wl,--build-id=none -o $(O)/vmlinux $(O)/main.S
`;

const must = (argv: string[], cwd: string): void => {
  const done = Bun.spawnSync(argv, { cwd, stderr: "pipe" });
  if (!done.success) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
};

/** Answers the path of the package; PVH's note is number 18. */
export const makeKernelSource = (directory: string, version: string, note = 18): string => {
  const tree = join(directory, "package");
  const source = join(directory, "linux-source-1.0");
  for (const path of [join(tree, "DEBIAN"), join(tree, "usr/src"), source]) mkdirSync(path, { recursive: true });
  writeFileSync(join(source, "Makefile"), makefile(String(note)));
  must(["tar", "-cJf", join(tree, "usr/src/linux-source-1.0.tar.xz"), "linux-source-1.0"], directory);
  const control = [
    "Package: linux-source-1.0",
    `Version: ${version}`,
    "Architecture: all",
    "Maintainer: nobody <n@x.y>",
  ];
  writeFileSync(join(tree, "DEBIAN/control"), `${[...control, "Description: a source"].join("\n")}\n`);
  const file = join(directory, `linux-source-1.0_${version}_all.deb`);
  must(["dpkg-deb", "--root-owner-group", "--build", tree, file], directory);
  for (const path of [tree, source]) rmSync(path, { recursive: true });
  return file;
};
