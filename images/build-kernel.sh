#!/bin/sh
# Builds the guest kernel of our own from Debian's linux-source with images/kernel.config: one vmlinux, without modules and initramfs.
# Runs as any user; a kernel is kept by what it was made of, so that the same one is built once.
set -eu

usage() {
  cat <<'USAGE'
usage: build-kernel.sh [--cache DIR] [--config FILE] [--source PACKAGE|FILE.deb] [--jobs N]
                       [--suite trixie] [--mirror URL] [--security-mirror URL|none] [--keyring FILE]
       build-kernel.sh --print-cached [--cache DIR] [--config FILE]
       build-kernel.sh --check-config FILE [--config FILE]
  --cache DIR          where kernels are kept, a directory each, by version of the source and hash of configuration and
                       this script; build/kernel of the source tree otherwise. The directory's path is printed.
  --config FILE        what the kernel must have; images/kernel.config otherwise
  --source             linux-source otherwise, which leads to the suite's own version
  --jobs N             compilers at a time; one for each processor otherwise
  --print-cached       print the newest that was made of this configuration by this script, and build nothing; fails when
                       there is none
  --check-config FILE  only say which lines of the configuration did not take effect in this .config
USAGE
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=images/build-steps.sh
. "$here/build-steps.sh"

cache=$(dirname "$here")/build/kernel config=$here/kernel.config source=linux-source jobs=$(nproc) verb=build checked=''
while [ $# -gt 0 ]; do
  case $1 in
    --help) usage; exit 0 ;;
    --print-cached) verb=print; shift ;;
    --check-config) verb=check checked=${2:?}; shift 2 ;;
    --cache) cache=${2:?}; shift 2 ;;
    --config) config=${2:?}; shift 2 ;;
    --source) source=${2:?}; shift 2 ;;
    --jobs) jobs=${2:?}; shift 2 ;;
    --suite | --mirror | --security-mirror | --keyring) set_mirror_option "$1" "${2:?}"; shift 2 ;;
    *) usage >&2; exit 2 ;;
  esac
done
[ -r "$config" ] || die "$config cannot be read"

# Prints each line of the configuration that a .config does not have: what depends on something that is not there is dropped in silence.
list_lost() {
  grep -E '^(CONFIG_[A-Za-z0-9_]+=|# CONFIG_[A-Za-z0-9_]+ is not set$)' "$config" | while IFS= read -r line; do
    case $line in
      '#'*)
        name=${line#\# }
        if grep -q "^${name%% *}=" "$1"; then printf '%s\n' "$line"; fi
        ;;
      *) grep -qxF -e "$line" "$1" || printf '%s\n' "$line" ;;
    esac
  done
}

check_config() {
  lost=$(list_lost "$1")
  [ -z "$lost" ] || die "this did not take effect in the kernel's configuration:
$lost"
}

if [ "$verb" = check ]; then
  [ -r "$checked" ] || die "$checked cannot be read"
  check_config "$checked"
  exit 0
fi

recipe=$(cat "$config" "$here/build-kernel.sh" | sha256sum | cut -c 1-12)

# The newest of this recipe, whatever source it was made of.
find_cached() {
  found=$(find "$cache" -mindepth 1 -maxdepth 1 -type d -name "*-$recipe" 2>/dev/null | sort -V | tail -n 1)
  [ -n "$found" ] && [ -s "$found/vmlinux" ] && printf '%s\n' "$found"
}

if [ "$verb" = print ]; then
  find_cached || die "no kernel of this configuration was built: make kernel"
  exit 0
fi

need apt-get dpkg-deb tar xz make gcc bc bison flex objcopy readelf flock
printf '#include <libelf.h>\n' | gcc -E - >/dev/null 2>&1 || die "libelf.h is missing: install libelf-dev"
mkdir -p "$cache"
cache=$(readlink -f "$cache")
# Two at once build once: the second finds what the first has made.
exec 9>"$cache/.lock"
flock 9

# $work of begin_work lies beside its output, whose name is known only when the version is.
begin_work "$cache/unnamed"

if [ -f "$source" ]; then
  cp "$source" "$work/source.deb"
  package=$(dpkg-deb -f "$work/source.deb" Package) version=$(dpkg-deb -f "$work/source.deb" Version)
elif read_package_lists; then
  package=$(private_apt apt-cache depends "$source" | sed -n 's/^ *Depends: \(linux-source-[0-9].*\)$/\1/p' | head -n 1)
  package=${package:-$source}
  version=$(private_apt apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')
  [ -n "$version" ] || die "$suite has no package $package"
else
  found=$(find_cached) || die "the package lists could not be read, and no kernel of this configuration was built before"
  step "the package lists could not be read: the kernel that was built before serves"
  printf '%s\n' "$found"
  exit 0
fi
target=$cache/$version-$recipe
if [ -s "$target/vmlinux" ]; then
  step "the kernel is built already"
  printf '%s\n' "$target"
  exit 0
fi
free_mib=$(df -Pm "$cache" | awk 'END { print $4 }')
[ "$free_mib" -ge 3000 ] || die "building a kernel takes 3000 MiB, and $cache has $free_mib"

if [ ! -f "$work/source.deb" ]; then
  step "download $package $version"
  (cd "$work" && private_apt apt-get download "$package=$version" >&2)
  mv "$work/$package"_*.deb "$work/source.deb"
fi
step "unpack $package $version"
dpkg-deb -x "$work/source.deb" "$work/package"
rm "$work/source.deb"
archive=$(find "$work/package/usr/src" -name 'linux-source-*.tar.xz')
[ -f "$archive" ] || die "$package holds no linux-source-*.tar.xz"
# The same kernel whenever it is built, and by whom.
KBUILD_BUILD_TIMESTAMP=$(LC_ALL=C date -u -r "$archive")
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER=banger KBUILD_BUILD_HOST=banger KBUILD_BUILD_VERSION=1 LC_ALL=C
mkdir "$work/tree" "$work/out"
run_interruptible tar -xJf "$archive" -C "$work/tree" --strip-components=1
rm -r "$work/package"

step "configure it"
kernel_make() { run_interruptible make -s -C "$work/tree" O="$work/out" "$@" >&2; }
kernel_make tinyconfig
# Instead of what tinyconfig says of the same options, not behind it: each would be a warning.
sed -nE 's/^(# )?(CONFIG_[A-Za-z0-9_]+)(=| is not set).*/^(# )?\2[ =]/p' "$config" >"$work/decided"
grep -vEf "$work/decided" "$work/out/.config" >"$work/base" || true
cat "$work/base" "$config" >"$work/out/.config"
kernel_make olddefconfig
check_config "$work/out/.config"

step "compile it, $jobs files at a time: minutes"
# What make says is kept for when it fails; of a pipe's commands a shell tells the last one's end only.
compile() {
  # shellcheck disable=SC2016 # the inner shell's and awk's own
  run_interruptible sh -c '{ make -C "$1/tree" O="$1/out" -j"$2" vmlinux 2>&1 || : >"$1/failed"; } | tee "$1/build.log" |
    awk "/^  CC /{ if (++n % 250 == 0) { print \"step: \" n \" files compiled\"; fflush() } }" >&2' sh "$work" "$jobs"
  [ ! -e "$work/failed" ]
}
compile || {
  tail -n 30 "$work/build.log" >&2
  die "the kernel does not compile"
}

mkdir "$stage"
# Without KALLSYMS nothing reads the symbols.
objcopy --strip-all "$work/out/vmlinux" "$stage/vmlinux"
# Where both VMMs enter it (Xen's note 18, PHYS32_ENTRY).
readelf -n "$stage/vmlinux" 2>/dev/null | grep -q '0x00000012' || die "the kernel has no PVH entry"
cp "$work/out/.config" "$stage/config"
# cmdline: a size for the console, which systemd would otherwise ask the terminal for and wait.
cat >"$stage/kernel.env" <<ENV
release=$(cat "$work/out/include/config/kernel.release")
package=$package
version=$version
recipe=$recipe
compiler=$(gcc --version | head -n 1)
cmdline=systemd.tty.rows.console=25 systemd.tty.columns.console=80 systemd.tty.rows.ttyS0=25 systemd.tty.columns.ttyS0=80
cmdline_emulated=
ENV
finish_work
printf '%s\n' "$target"
