#!/bin/sh
# make run, the last part: the default image, the daemon, a VM named hello, and a command in it. What is there already is left as it is.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
banger=$root/build/banger
bun=$root/.tools/bin/bun
vm=hello

say() { printf '==> %s\n' "$*"; }

scripts/grant.sh

if ! "$banger" image show debian >/dev/null 2>&1; then
  say 'the default image: Debian, built once, in a few minutes'
  "$banger" image build
fi

say "kernel of new VMs: $("$banger" image show debian --json |
  "$bun" -p 'const { release, hint } = JSON.parse(await Bun.stdin.text()).newVms; `${release}, ${hint}`')"

# One field of the VM, empty when there is no such VM.
field() {
  "$banger" vm list --json | "$bun" -p "(JSON.parse(await Bun.stdin.text()).find(({ name }) => name === '$vm') ?? {}).$1 ?? ''"
}

state=$(field state)
case $state in
  '')
    say "the VM $vm: made now"
    "$banger" vm create "$vm" >/dev/null
    ;;
  running) say "the VM $vm: running already" ;;
  *)
    say "the VM $vm: $state, started now"
    "$banger" vm start "$vm"
    ;;
esac

say "./banger ssh $vm -- uname -a"
"$banger" vm ssh "$vm" -- uname -a </dev/null

address=$(field 'addresses.find(({ side }) => side === "host")?.address')
line() { printf '  %-40s %s\n' "$1" "$2"; }
printf '\n%s is running. To go on:\n' "$vm"
line "./banger ssh $vm" 'a shell in it'
if [ -n "$address" ]; then
  line "curl http://$address:8080" 'its port 8080, once something listens there'
else
  line "./banger vm forward $vm 8080:8080" 'its port 8080 at http://127.0.0.1:8080'
fi
line './banger ls' 'your VMs'
line "./banger stop $vm" 'end it, and keep its disk'
line "./banger rm --force $vm" 'remove it, with its disk'
line './banger help' 'everything else'
