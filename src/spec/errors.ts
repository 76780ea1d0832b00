// Every failure banger can report: a code, what happened in the user's own names, and what to type next.

/** How the CLI ends for a class of failure; the numbers are documented in docs/reference/exit-codes.md. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  host: 5,
  daemon: 6,
  timeout: 7,
  internal: 70,
  interrupted: 130,
} as const;

type Entry<Data> = {
  /** What happened, one or two sentences without a final newline. */
  message: (data: Data) => string;
  /** A command to type or one edit to make. */
  fix?: (data: Data) => string | undefined;
  exit?: number;
};

const entry = <Data>(value: Entry<Data>): Entry<Data> => value;
const list = (values: readonly string[]) => values.join(", ");
const quoted = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);

/** What to look at where a file system takes nothing more; nothing when that is not the cause. */
export const fixOfMount = (directory: string, detail: string): string | undefined => {
  if (/ENOSPC|EDQUOT|no space left|is full/i.test(detail)) return `df -h ${directory}   # and free some space there`;
  if (/EROFS|read-?only/i.test(detail)) return `findmnt -T ${directory}   # it is mounted read-only`;
  return undefined;
};

export const errors = {
  // input
  "input.invalid": entry<{ issues: readonly { path: string; message: string }[]; method?: string }>({
    message: ({ issues }) => issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join("; "),
    fix: ({ method }) => (method ? `banger help ${method.replace(".", " ")}` : undefined),
    exit: EXIT.usage,
  }),
  "input.size_without_unit": entry<{ value: string; field: string }>({
    message: ({ value, field }) => `${field}: ${quoted(value)} has no unit.`,
    fix: ({ value }) => `write ${value}M (mebibytes) or ${value}G (gibibytes)`,
    exit: EXIT.usage,
  }),
  "rpc.parse_error": entry<{ detail: string }>({ message: ({ detail }) => `The request is not valid JSON: ${detail}` }),
  "rpc.invalid_request": entry<{ detail: string }>({
    message: ({ detail }) => `The request is not a JSON-RPC 2.0 call: ${detail}`,
  }),
  "rpc.method_not_found": entry<{ method: string }>({
    message: ({ method }) => `The daemon has no method ${quoted(method)}.`,
    fix: () => "banger daemon status   # shows the versions of both sides",
  }),
  "internal.bug": entry<{ detail: string }>({
    message: ({ detail }) => `Something went wrong inside banger: ${detail}`,
    fix: () => "banger daemon logs --tail 50   # and please report what it shows",
    exit: EXIT.internal,
  }),
  "operation.cancelled": entry<{ operation: string }>({
    message: ({ operation }) => `${operation} was cancelled; what it had done was undone.`,
    exit: EXIT.interrupted,
  }),
  "operation.timeout": entry<{ operation: string; waitedMs: number }>({
    message: ({ operation, waitedMs }) => `${operation} did not finish within ${(waitedMs / 1000).toFixed(1)} s.`,
    exit: EXIT.timeout,
  }),
  "operation.undo_incomplete": entry<{ vm: string; steps: readonly string[]; detail: string }>({
    message: ({ vm, steps, detail }) => `Not everything of ${vm} could be undone (${list(steps)}): ${detail}`,
    fix: () => "banger audit   # lists what is left; the daemon tries again by itself",
  }),
  "operation.step_unknown": entry<{ vm?: string; steps: readonly string[] }>({
    message: ({ vm, steps }) =>
      `${vm ?? "This"} was made by another banger: this one does not know how to undo ${list(steps)}, and took nothing of it back.`,
    fix: () => "install the newer banger again",
  }),

  // VMs
  "vm.not_found": entry<{ vm: string; known?: readonly string[] }>({
    message: ({ vm, known }) =>
      `There is no VM ${quoted(vm)}.${known?.length ? ` Did you mean ${known.map(quoted).join(" or ")}?` : ""}`,
    fix: () => "banger list",
    exit: EXIT.notFound,
  }),
  "vm.ambiguous": entry<{ vm: string; matches: readonly string[] }>({
    message: ({ vm, matches }) => `${quoted(vm)} could be any of ${list(matches)}.`,
    fix: () => "give more letters of the name or id",
    exit: EXIT.usage,
  }),
  "vm.name_taken": entry<{ name: string }>({
    message: ({ name }) => `A VM named ${quoted(name)} exists already.`,
    fix: ({ name }) => `banger ssh ${name}   # or choose another name`,
    exit: EXIT.conflict,
  }),
  "vm.wrong_state": entry<{ vm: string; state: string; verb: string; needs: readonly string[] }>({
    message: ({ vm, state, verb, needs }) =>
      `Cannot ${verb} ${vm}: it is ${state}, and it would have to be ${needs.join(" or ")}.`,
    fix: ({ vm, needs, state }) =>
      needs.includes("stopped") && state === "running"
        ? `banger stop ${vm}`
        : needs.includes("running") && state === "stopped"
          ? `banger start ${vm}`
          : `banger show ${vm}`,
    exit: EXIT.conflict,
  }),
  "port.taken": entry<{
    vm: string;
    address: string;
    port: number;
    guestPort: number;
    owner: string | null;
    free: number;
  }>({
    message: ({ address, port, owner }) =>
      `Port ${port} of ${address} is taken${owner === null ? " by a process that is not yours to see" : ` by ${owner}`}.`,
    fix: ({ vm, free, guestPort }) => `banger vm forward ${vm} ${free}:${guestPort}`,
    exit: EXIT.conflict,
  }),
  "port.privileged": entry<{ port: number; limit: number }>({
    message: ({ port, limit }) => `Port ${port} is below ${limit}, where this host lets only root listen.`,
    fix: ({ port }) => `sudo sysctl -w net.ipv4.ip_unprivileged_port_start=${port}`,
    exit: EXIT.host,
  }),
  "port.no_address": entry<{ address: string }>({
    message: ({ address }) => `This host has no address ${address}.`,
    fix: () => "ip -brief address",
    exit: EXIT.usage,
  }),
  "port.failed": entry<{ address: string; port: number; detail: string }>({
    message: ({ address, port, detail }) => `Port ${port} of ${address} could not be opened: ${detail}`,
    exit: EXIT.host,
  }),
  "forward.not_loopback": entry<{ address: string; hostPort: number; guestPort: number }>({
    message: ({ address }) => `${address} is reached from other machines, and that has to be asked for.`,
    fix: ({ address, hostPort, guestPort }) => `add --bind ${address}, with ${hostPort}:${guestPort}`,
    exit: EXIT.usage,
  }),
  "forward.not_found": entry<{ vm: string; port: string; known: readonly string[] }>({
    message: ({ vm, port, known }) =>
      `${vm} has no kept forward of port ${port}${known.length > 0 ? `, but of ${list(known)}` : ""}.`,
    fix: ({ vm }) => `banger vm forward --list ${vm}`,
    exit: EXIT.notFound,
  }),
  "vm.running": entry<{ vm: string }>({
    message: ({ vm }) => `${vm} is running.`,
    fix: ({ vm }) => `banger rm --force ${vm}   # stops it first`,
    exit: EXIT.conflict,
  }),
  "vm.busy": entry<{ vm: string; operation: string }>({
    message: ({ vm, operation }) => `${vm} is busy: ${operation} is under way.`,
    fix: ({ vm }) => `banger show ${vm}`,
    exit: EXIT.conflict,
  }),
  "vm.disk_shrink": entry<{ vm: string; currentMiB: number; wantedMiB: number }>({
    message: ({ vm, currentMiB, wantedMiB }) =>
      `The disk of ${vm} is ${currentMiB} MiB; it cannot shrink to ${wantedMiB} MiB.`,
    fix: () => "give a larger size: disks only grow",
    exit: EXIT.usage,
  }),
  "vm.none": entry<{ verb: string; labels?: readonly string[] | undefined }>({
    message: ({ labels }) =>
      labels?.length ? `No VM has the label ${labels.join(" and ")}.` : "There are no VMs yet.",
    fix: ({ labels }) => (labels?.length ? "banger list" : "banger create"),
    exit: EXIT.notFound,
  }),
  "vm.name_needed": entry<{ verb: string; command?: string | undefined; known: readonly string[] }>({
    message: ({ known }) =>
      `Which VM? There are ${known.length}: ${list(known.slice(0, 8))}${known.length > 8 ? ", …" : ""}.`,
    fix: ({ verb, command, known }) => `banger ${command ?? verb} ${known[0] ?? "NAME"}`,
    exit: EXIT.usage,
  }),
  "vm.ended_while_starting": entry<{ vm: string; cause: string; console: string }>({
    message: ({ vm, cause, console }) =>
      `${vm} ended (${cause}) before it was ready.${console ? ` Its last words:\n${console}` : ""}`,
    fix: ({ vm }) => `banger logs ${vm}`,
  }),

  // VMMs
  "vmm.unavailable": entry<{ vmm: string; detail: string }>({
    message: ({ vmm, detail }) => `This host cannot run VMs with ${vmm}: ${detail}`,
    fix: () => "banger doctor",
    exit: EXIT.host,
  }),
  "vmm.exited_early": entry<{ vm: string; command: readonly string[]; exitCode: number | null; stderr: string }>({
    message: ({ vm, command, exitCode, stderr }) =>
      `The VMM of ${vm} (${command[0] ?? "?"}) ended at once with exit code ${exitCode ?? "unknown"}${stderr ? `: ${stderr}` : "."}`,
    fix: ({ vm }) => `banger logs ${vm} --vmm`,
  }),
  "vmm.shim_lost": entry<{ vm: string }>({
    message: ({ vm }) => `The process that keeps ${vm} does not answer any more.`,
    fix: ({ vm }) => `banger show ${vm}`,
  }),
  "vmm.shim_timeout": entry<{ vm: string; waitedMs: number }>({
    message: ({ vm, waitedMs }) => `The process that keeps ${vm} did not answer within ${waitedMs} ms.`,
    fix: ({ vm }) => `banger kill ${vm}`,
    exit: EXIT.timeout,
  }),
  "vmm.api_failed": entry<{ vm: string; call: string; detail: string }>({
    message: ({ vm, call, detail }) => `The VMM of ${vm} refused ${call}: ${detail}`,
    fix: ({ vm }) => `banger logs ${vm} --vmm`,
  }),
  "vmm.jail_unusable": entry<{ detail: string; fix: string | undefined }>({
    message: ({ detail }) => `No VMM can be jailed here, which vmm.jail asks for: ${detail}.`,
    fix: ({ fix }) => fix,
    exit: EXIT.host,
  }),
  "vmm.kernel_unusable": entry<{ path: string; detail: string }>({
    message: ({ path, detail }) => `${path} is no kernel that can be booted: ${detail}`,
    fix: () => "banger image build",
  }),

  // guest
  "guest.not_ready": entry<{ vm: string; waitedMs: number }>({
    message: ({ vm, waitedMs }) =>
      `${vm} booted, but its guest helper was not ready after ${Math.round(waitedMs / 1000)} s.`,
    fix: ({ vm }) => `banger logs ${vm}   # what it printed while booting`,
    exit: EXIT.timeout,
  }),
  "guest.channel_lost": entry<{ vm: string }>({
    message: ({ vm }) => `The connection to the guest helper of ${vm} broke.`,
    fix: ({ vm }) => `banger show ${vm}`,
  }),
  "guest.protocol_error": entry<{ vm: string; detail: string }>({
    message: ({ vm, detail }) => `The guest helper of ${vm} does not keep to the protocol: ${detail}`,
    fix: ({ vm }) => `banger restart ${vm}`,
  }),
  "guest.refused": entry<{ vm: string; detail: string }>({
    message: ({ vm, detail }) => `The guest helper of ${vm} refused: ${detail}`,
  }),
  "ssh.no_such_host": entry<Record<string, never>>({
    message: () => "No VM has that name.",
    fix: () => "banger list",
    exit: EXIT.notFound,
  }),
  "ssh.not_included": entry<{ path: string }>({
    message: ({ path }) => `ssh does not know VMs by their names: ${path} does not include what banger tells it.`,
    fix: () => "banger ssh-config install",
    exit: EXIT.conflict,
  }),
  "editor.missing": entry<{ command: string }>({
    message: ({ command }) => `${command} is not in the PATH.`,
    fix: () => 'install Visual Studio Code, or run "Install code command in PATH" in it',
    exit: EXIT.host,
  }),

  "guest.booting": entry<{ vm: string; upMs: number | null }>({
    message: ({ vm, upMs }) =>
      `${vm} is still booting: its guest helper has not spoken yet${upMs === null ? "" : `, ${Math.round(upMs / 1000)} s after its start`}.`,
    fix: ({ vm }) => `banger logs -f ${vm}   # watch it boot`,
    exit: EXIT.timeout,
  }),
  "guest.silent": entry<{ vm: string; waitedMs: number }>({
    message: ({ vm, waitedMs }) =>
      `${vm} runs and takes connections, but its guest helper did not answer within ${(waitedMs / 1000).toFixed(1)} s.`,
    fix: ({ vm }) => `banger ssh ${vm} sudo pkill -KILL banger-vsock   # another takes its place`,
    exit: EXIT.timeout,
  }),
  "guest.frozen": entry<{ vm: string; waitedMs: number; isVmmStopped: boolean; pid: number | null }>({
    message: ({ vm, waitedMs, isVmmStopped }) =>
      isVmmStopped
        ? `${vm} stands still: the process that runs it is stopped.`
        : `${vm} is frozen: neither its guest helper nor its network answered within ${(waitedMs / 1000).toFixed(1)} s.`,
    fix: ({ vm, isVmmStopped, pid }) =>
      isVmmStopped && pid !== null
        ? `kill -CONT ${pid}`
        : `banger restart --force ${vm}   # after a look at banger logs ${vm}`,
    exit: EXIT.timeout,
  }),
  "guest.too_old": entry<{ vm: string; ability: string; version: string }>({
    message: ({ vm, ability, version }) =>
      `The guest helper of ${vm} (${version || "of no known version"}) does not know ${ability}: its image is older than this banger.`,
    fix: () => "banger image build   # VMs that are made afterwards have the new helper",
  }),

  // images
  "image.not_found": entry<{ image: string; known: readonly string[] }>({
    message: ({ image, known }) =>
      `There is no image ${quoted(image)}.${known.length ? ` There are: ${list(known)}.` : " There is none at all yet."}`,
    fix: ({ known }) => (known.length ? "banger image list" : "banger image build"),
    exit: EXIT.notFound,
  }),
  "image.name_taken": entry<{ name: string }>({
    message: ({ name }) => `An image named ${quoted(name)} exists already.`,
    fix: ({ name }) => `banger image delete ${name}   # or choose another name`,
    exit: EXIT.conflict,
  }),
  "image.in_use": entry<{ image: string; vms: readonly string[] }>({
    message: ({ image, vms }) => `Image ${image} is in use by ${list(vms)}.`,
    fix: ({ vms }) => `banger rm ${vms.join(" ")}   # if they are no longer needed`,
    exit: EXIT.conflict,
  }),
  "image.broken": entry<{ image: string; detail: string }>({
    message: ({ image, detail }) => `Image ${image} cannot be used: ${detail}`,
    fix: () => "banger image build --replace",
  }),
  "image.without_helper": entry<{ image: string }>({
    message: ({ image }) =>
      `Image ${image} does not carry the guest helper, so its VMs could never report that they are ready.`,
    fix: () => "banger image build --replace   # or build it with images/customize.sh: both put the helper in",
  }),
  "image.build_failed": entry<{ image: string; step: string; detail: string }>({
    message: ({ image, step, detail }) => `Building image ${image} failed at ${step}: ${detail}`,
    fix: () => "mend the cause and run the same command again; nothing was left behind",
  }),
  "image.script_failed": entry<{ image: string; script: string; exitCode: number; detail: string }>({
    message: ({ image, script, exitCode, detail }) =>
      `Image ${image} was not made: ${script} ended with ${exitCode} in the temporary VM.${detail ? ` Its last words: ${detail}` : ""}`,
    fix: ({ script }) => `mend ${script} and run the same command again; nothing was left behind`,
  }),
  "image.tools_missing": entry<{ commands: readonly string[]; packages: readonly string[] }>({
    message: ({ commands }) => `Building an image needs what is not installed here: ${list(commands)}.`,
    fix: ({ packages }) => `sudo apt-get install ${packages.join(" ")}`,
    exit: EXIT.host,
  }),
  "image.no_user_namespace": entry<{ detail: string; command: string }>({
    message: ({ detail }) =>
      `Building an image without root needs a user namespace, and there is none to be had: ${detail}.`,
    fix: ({ command }) => `${command}`,
    exit: EXIT.host,
  }),
  "image.not_a_root": entry<{ path: string; detail: string }>({
    message: ({ path, detail }) => `${path} is not a root file system that banger can boot: ${detail}`,
    fix: () => "give a raw ext4 file without a partition table",
    exit: EXIT.usage,
  }),

  // host
  "host.command_failed": entry<{ command: readonly string[]; exitCode: number | null; stderr: string }>({
    message: ({ command, exitCode, stderr }) =>
      `\`${command.join(" ")}\` failed with exit code ${exitCode ?? "unknown"}${stderr ? `: ${stderr.trim()}` : "."}`,
    fix: () => "banger doctor",
    exit: EXIT.host,
  }),
  "host.command_missing": entry<{ command: string; package: string }>({
    message: ({ command, package: name }) => `${command} is not installed on this host (Debian package ${name}).`,
    fix: ({ package: name }) => `sudo apt-get install ${name}`,
    exit: EXIT.host,
  }),
  "host.tun_unusable": entry<{ device: string; detail: "absent" | "forbidden" }>({
    message: ({ device, detail }) =>
      detail === "absent"
        ? `This host has no ${device}, so VMs cannot be connected.`
        : `This user may not open ${device}, so VMs cannot be connected.`,
    fix: ({ device, detail }) => (detail === "absent" ? "sudo modprobe tun" : `sudo chmod 0666 ${device}`),
    exit: EXIT.host,
  }),
  "host.no_space": entry<{ path: string; neededMiB: number; freeMiB: number }>({
    message: ({ path, neededMiB, freeMiB }) => `${path} has ${freeMiB} MiB free, and ${neededMiB} MiB are needed.`,
    fix: () => "banger image prune   # or free some space",
    exit: EXIT.host,
  }),
  "host.file_failed": entry<{ path: string; operation: string; detail: string }>({
    message: ({ path, operation, detail }) => `Cannot ${operation} ${path}: ${detail}`,
    fix: ({ path, detail }) => fixOfMount(path.replace(/\/[^/]*$/, "") || "/", detail),
    exit: EXIT.host,
  }),
  "host.not_ours": entry<{ what: string }>({
    message: ({ what }) => `${what} was not made by this instance of banger, so it is left alone.`,
    exit: EXIT.host,
  }),
  "host.memory_short": entry<{ neededMiB: number; hostMiB: number }>({
    message: ({ neededMiB, hostMiB }) => `${neededMiB} MiB of memory is more than the ${hostMiB} MiB this host has.`,
    fix: ({ hostMiB }) => `give at most --memory ${hostMiB}M`,
    exit: EXIT.usage,
  }),
  "root.unavailable": entry<{ detail: string }>({
    message: ({ detail }) => `The network of a VM needs the privileged helper, and it cannot be started: ${detail}`,
    fix: () => "banger setup   # prints what it will do, then asks for your password once",
    exit: EXIT.host,
  }),
  "root.sudo_missing": entry<Record<string, never>>({
    message: () => "The network of a VM needs root, and sudo is not installed.",
    fix: () => "su -c 'apt-get install sudo'   # then banger setup; or run banger as root",
    exit: EXIT.host,
  }),
  "root.refused": entry<{ operation: string; detail: string }>({
    message: ({ operation, detail }) => `The privileged helper refused ${operation}: ${detail}`,
    exit: EXIT.host,
  }),
  "namespace.unavailable": entry<{ detail: string; fix: string | undefined }>({
    message: ({ detail }) => `The network namespace that VMs without root live in cannot be used: ${detail}`,
    fix: ({ fix }) => (fix === undefined ? undefined : `${fix}`),
    exit: EXIT.host,
  }),
  "net.subnet_exhausted": entry<{ instance: string }>({
    message: () => "No private /24 network is free on this host: every candidate overlaps one of its routes.",
    fix: () => "ip route   # one of those routes has to be narrower",
    exit: EXIT.host,
  }),
  "net.subnet_taken": entry<{ subnet: string; route: string; device: string | null; free: string | null }>({
    message: ({ subnet, route, device }) =>
      `network.subnet is ${subnet}, and this host sends ${route} ${device === null ? "elsewhere" : `to ${device}`} already.`,
    fix: ({ free }) =>
      free === null
        ? "ip route   # no other network is free: one of its routes has to be narrower"
        : `banger config set network.subnet ${free}`,
    exit: EXIT.host,
  }),
  "net.addresses_exhausted": entry<{ subnet: string }>({
    message: ({ subnet }) => `Every address of ${subnet} is taken.`,
    fix: () => "banger rm NAME   # delete a VM that is no longer needed",
    exit: EXIT.conflict,
  }),
  "net.address_taken": entry<{ address: string; by: string }>({
    message: ({ address, by }) => `Address ${address} is taken by ${by}.`,
    exit: EXIT.conflict,
  }),
  "net.unreachable": entry<{ vm: string; address: string; port: number; waitedMs: number }>({
    message: ({ vm, address, port, waitedMs }) =>
      `${vm} did not answer at ${address}:${port} within ${Math.round(waitedMs / 1000)} s.`,
    fix: ({ vm }) => `banger logs ${vm}`,
    exit: EXIT.timeout,
  }),
  "ssh.private_key": entry<{ path: string }>({
    message: ({ path }) => `${path} is a private key; only public keys go into a VM.`,
    fix: ({ path }) => `--ssh-key ${path}.pub`,
    exit: EXIT.usage,
  }),
  "ssh.bad_key": entry<{ path: string }>({
    message: ({ path }) => `${path} holds no SSH public key.`,
    fix: () => "ssh-keygen -t ed25519   # makes a pair; give the .pub file",
    exit: EXIT.usage,
  }),

  // names
  "dns.bad_name": entry<{ name: string }>({
    message: ({ name }) => `${quoted(name)} can be no DNS name.`,
    fix: () => "banger dns records   # lists the names there are",
    exit: EXIT.usage,
  }),
  "dns.no_such_name": entry<{ name: string }>({
    message: ({ name }) => `There is no name ${name} (NXDOMAIN): names are those of running VMs.`,
    fix: () => "banger dns records",
    exit: EXIT.notFound,
  }),
  "dns.refused": entry<{ name: string; zone: string }>({
    message: ({ name, zone }) => `${name} is not below ${zone}, and this host is told nothing else (REFUSED).`,
    fix: ({ name }) => `banger dns query --guest ${name}   # as guests are answered`,
    exit: EXIT.notFound,
  }),
  "dns.no_answer": entry<{ name: string; rcode: string }>({
    message: ({ name, rcode }) => `None of this host's resolvers had an answer for ${name} (${rcode}).`,
    fix: () => "banger dns status   # shows which they are",
  }),

  "dns.no_resolver": entry<Record<string, never>>({
    message: () =>
      "This host's resolver is none that can be told about one domain alone: there is no systemd-resolved, and no local dnsmasq is asked.",
    fix: () => "docs/resolver.md says what can be done by hand; addresses always work",
    exit: EXIT.host,
  }),
  "dns.cut_short": entry<{ detail: string }>({
    message: ({ detail }) => `A change of this host's resolver was cut short and is not taken back yet: ${detail}`,
    fix: () => "banger dns undo   # or banger dns setup, which does that first",
    exit: EXIT.host,
  }),
  "dns.changed_by_hand": entry<{ path: string }>({
    message: ({ path }) => `${path} is not as banger wrote it, so it is left alone; the rest was taken back.`,
    fix: ({ path }) => `sudo rm ${path}   # then banger dns undo, which ends it`,
    exit: EXIT.conflict,
  }),

  // daemon, configuration, records
  "daemon.unreachable": entry<{ socket: string; detail: string; pid?: number | undefined }>({
    message: ({ socket, detail }) => `bangerd does not answer on ${socket}: ${detail}`,
    // One that hangs does not hear that it should restart either.
    fix: ({ pid }) =>
      pid === undefined
        ? "banger daemon restart"
        : `kill -KILL ${pid}   # bangerd; VMs go on running, and the next command starts another`,
    exit: EXIT.daemon,
  }),
  "daemon.not_running": entry<{ socket: string }>({
    message: () => "bangerd is not running.",
    fix: () => "banger list   # starts it, as does every command that needs it",
    exit: EXIT.daemon,
  }),
  "daemon.start_failed": entry<{ detail: string; log: string; fix?: string | undefined }>({
    message: ({ detail }) => `bangerd could not be started: ${detail}`,
    fix: ({ log, fix }) => fix ?? `tail ${log}`,
    exit: EXIT.daemon,
  }),
  "daemon.already_running": entry<{ pid: number }>({
    message: ({ pid }) => `bangerd runs already, as process ${pid}.`,
    exit: EXIT.conflict,
  }),
  "daemon.protocol": entry<{ client: string; daemon: string }>({
    message: ({ client, daemon }) =>
      `This banger (${client}) and the running bangerd (${daemon}) do not understand each other.`,
    fix: () => "banger daemon restart",
    exit: EXIT.daemon,
  }),
  "daemon.stopping": entry<Record<string, never>>({
    message: () => "bangerd is stopping and takes no new work.",
    fix: () => "try again in a moment",
    exit: EXIT.daemon,
  }),
  "daemon.stream_ended": entry<{ vm: string; what: string }>({
    message: ({ what }) => `bangerd was stopped or restarted, which ended ${what}.`,
    fix: () => "run it again; bangerd starts by itself",
    exit: EXIT.daemon,
  }),
  "config.invalid": entry<{ path: string; line: number; column: number; detail: string }>({
    message: ({ path, line, column, detail }) => `${path}:${line}:${column}: ${detail}`,
    // No command that asks the daemon would do: this is what keeps it from starting.
    fix: ({ path, line }) => `mend line ${line} of ${path}`,
    exit: EXIT.usage,
  }),
  "config.unknown_key": entry<{ key: string; known: readonly string[] }>({
    message: ({ key, known }) =>
      `There is no setting ${quoted(key)}.${known.length ? ` Did you mean ${known.map(quoted).join(" or ")}?` : ""}`,
    fix: () => "banger config show --defaults",
    exit: EXIT.usage,
  }),
  "store.newer_schema": entry<{ path: string; found: number; known: number }>({
    message: ({ path, found, known }) =>
      `${path} was written by a newer banger (schema ${found}; this one knows ${known}). It is left as it is.`,
    fix: () => "install the newer banger again",
    exit: EXIT.daemon,
  }),
  "store.newer_document": entry<{ what: string; found: number; known: number }>({
    message: ({ what, found, known }) =>
      `The record of ${what} was written by a newer banger (document ${found}; this one knows ${known}). It is left as it is.`,
    fix: () => "install the newer banger again",
    exit: EXIT.daemon,
  }),
  "store.corrupt": entry<{ path: string; detail: string }>({
    message: ({ path, detail }) => `The database ${path} is damaged: ${detail}`,
    fix: ({ path }) => `the newest backup lies beside it: ls ${path}.backup-*`,
    exit: EXIT.daemon,
  }),
  "instance.unusable": entry<{ path: string; detail: string }>({
    message: ({ path, detail }) => `The directory ${path} cannot hold an instance of banger: ${detail}`,
    fix: ({ path, detail }) =>
      fixOfMount(path, detail) ?? `ls -ld ${path}   # it has to be a directory in which you may write`,
    exit: EXIT.daemon,
  }),
  "instance.path_too_long": entry<{ path: string; bytes: number }>({
    message: ({ path, bytes }) => `${path} would be ${bytes} bytes long, and a unix socket's path may have 107.`,
    fix: () => "set XDG_RUNTIME_DIR (or XDG_STATE_HOME) to a shorter path",
    exit: EXIT.daemon,
  }),
  // the runtime bundle
  "bundle.missing": entry<{ artifact: string; directory: string; repair?: string }>({
    message: ({ artifact, directory }) => `${artifact} is missing: it was looked for in ${directory}.`,
    fix: ({ repair }) => repair ?? "make build   # in the source tree",
    exit: EXIT.host,
  }),
  "bundle.stale": entry<{ artifact: string; directory: string; detail: string; repair: string }>({
    message: ({ artifact, directory, detail }) =>
      `${artifact} in ${directory} is not the one that belongs there: ${detail}.`,
    fix: ({ repair }) => repair,
    exit: EXIT.host,
  }),
  "bundle.fetch_failed": entry<{ artifact: string; reason: string; detail: string }>({
    message: ({ artifact, detail }) => `${artifact} was not fetched, and what was there is untouched: ${detail}.`,
    fix: ({ reason }) =>
      reason === "space"
        ? "free some space, then the same command again: it goes on where it was"
        : "banger bundle fetch --from DIR|URL   # a mirror, or a directory with the files",
    exit: EXIT.host,
  }),
  "bundle.incomplete": entry<{
    directory: string;
    failed: readonly { artifact: string; detail: string; repair: string }[];
  }>({
    message: ({ directory, failed }) =>
      `The bundle in ${directory} is not complete: ${failed.map(({ detail }) => detail).join(" ")}`,
    fix: ({ failed }) => failed[0]?.repair,
    exit: EXIT.host,
  }),
  "bundle.unknown_artifact": entry<{ artifact: string; known: readonly string[] }>({
    message: ({ artifact, known }) => `The bundle has no ${quoted(artifact)}; there are ${list(known)}.`,
    fix: () => "banger bundle list",
    exit: EXIT.usage,
  }),
  "bundle.bad_manifest": entry<{ path: string; detail: string }>({
    message: ({ path, detail }) => `${path} is no manifest of a runtime bundle: ${detail}.`,
    exit: EXIT.host,
  }),
  "bundle.own_unusable": entry<{ path: string; detail: string }>({
    message: ({ path, detail }) => `${path} cannot be used instead of the bundle's: ${detail}.`,
    fix: () => "give the absolute path of a program that you may run",
    exit: EXIT.usage,
  }),
} as const;

export type ErrorCode = keyof typeof errors;
export type ErrorData<Code extends ErrorCode> = (typeof errors)[Code] extends Entry<infer Data> ? Data : never;

/** The one error class of banger's own code; `fail` is its only constructor. */
export class BangerError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "BangerError";
  readonly code: Code;
  readonly data: ErrorData<Code>;
  readonly fix: string | null;
  readonly exitCode: number;
  constructor(code: Code, data: ErrorData<Code>, cause?: unknown) {
    const found = errors[code] as unknown as Entry<ErrorData<Code>>;
    super(found.message(data), cause === undefined ? undefined : { cause });
    this.code = code;
    this.data = data;
    this.fix = found.fix?.(data) ?? null;
    this.exitCode = found.exit ?? EXIT.failed;
  }
}

/** Makes the error of `code`; `throw fail(...)`. */
export const fail = <Code extends ErrorCode>(code: Code, data: ErrorData<Code>, cause?: unknown): BangerError<Code> =>
  new BangerError(code, data, cause);

export const isBangerError = (error: unknown): error is BangerError => error instanceof BangerError;

/** True for an error of exactly this code, so that callers never compare messages. */
export const hasCode = <Code extends ErrorCode>(error: unknown, code: Code): error is BangerError<Code> =>
  error instanceof BangerError && error.code === code;

/** The shape of an error on every wire and under `--json`. */
export type ErrorReport = { code: string; message: string; fix: string | null; data: unknown };

/** Any thrown value as a report; what is not ours becomes `internal.bug` and keeps its text. */
export const reportOf = (error: unknown): ErrorReport => {
  const known = isBangerError(error) ? error : fail("internal.bug", { detail: describeUnknown(error) }, error);
  return { code: known.code, message: known.message, fix: known.fix, data: known.data };
};

/** The text of any thrown value, on one line. */
export const describeUnknown = (error: unknown): string =>
  (error instanceof Error ? error.message || error.name : String(error)).split("\n")[0] ?? "unknown";
