// How this host can run guests: KVM, the devices, the two VMMs, and what a new VM would get.
import { fail } from "../spec/errors.ts";
import { check, error, ok, skipped, warning } from "./check.ts";

const moduleOf = { vmx: "kvm_intel", svm: "kvm_amd" } as const;

const originWords = {
  pinned: "the official one",
  own: "your own",
  changed: "your own, changed",
  unknown: "of an origin that is not recorded",
} as const;

/** What a proof that failed said after naming the device. */
const isUnproved = (reason: string): boolean => /no kernel yet to prove KVM/.test(reason);

export const vmmChecks = [
  check({
    id: "kvm",
    why: "guests run at the speed of this host with KVM, and ten times slower or more by emulation",
    needs: ["kvm", "firecracker", "qemu", "user"],
    decide: ({ kvm, firecracker, qemu, user }) => {
      const { device, flag, isGuest } = kvm;
      const bad = qemu.ok ? warning : error;
      const instead = qemu.ok ? "; QEMU emulates guests instead, which is slow" : "";
      if (device === "absent") {
        if (flag) {
          const repairs = [["sudo", "modprobe", moduleOf[flag]]];
          return bad(`the processor can virtualise (${flag}), but there is no /dev/kvm${instead}`, {
            repairs,
            remark: "where that is refused, switch virtualisation on in the firmware's settings",
          });
        }
        return bad(`there is no /dev/kvm, and the processor shows no virtualisation${instead}`, {
          fix: isGuest
            ? "switch nested virtualisation on for the VM that this host itself is, at whoever runs it"
            : "switch virtualisation (VT-x or AMD-V) on in the firmware's settings",
        });
      }
      if (device === "forbidden") {
        return bad(`this user may not open /dev/kvm${instead}`, {
          repairs: [["sudo", "usermod", "-aG", "kvm", user.name]],
          remark: "then log out and in, and banger daemon restart",
        });
      }
      const proved = [firecracker.probe, qemu].find((probe) => probe.ok && probe.accelerator === "kvm");
      if (proved) return ok("a guest was booted on /dev/kvm");
      const probes = [firecracker.probe, qemu];
      if (probes.some(({ reason }) => isUnproved(reason)))
        return skipped("/dev/kvm can be opened; whether guests boot on it is tried when there is an image");
      const tried = probes.filter(({ reason }) => reason.includes("/dev/kvm is there"));
      // What one of them proved for good is not put off by the other's silence.
      const lasting = tried.find(({ againMs }) => againMs === undefined);
      const telling = (lasting ?? tried[0])?.reason ?? "no VMM could try it";
      return bad(
        `/dev/kvm can be opened, but boots nothing: ${telling.replace(/^.*\/dev\/kvm is there, but /, "")}${instead}`,
        {
          fix:
            tried.length > 0 && !lasting
              ? "banger doctor   # after that time; where this stays, use a host whose KVM is its own"
              : "use a host whose KVM is its own: whatever provides this one cannot run an ordinary kernel",
        },
      );
    },
  }),
  check({
    id: "tun",
    why: "each VM is connected by a tap, which its VMM opens through /dev/net/tun",
    needs: ["tun"],
    decide: ({ tun }) => {
      if (tun === "usable") return ok("/dev/net/tun can be opened");
      return error(fail("host.tun_unusable", { device: "/dev/net/tun", detail: tun }), {
        repairs: tun === "absent" ? [["sudo", "modprobe", "tun"]] : [["sudo", "chmod", "0666", "/dev/net/tun"]],
      });
    },
  }),
  check({
    id: "vhost-vsock",
    why: "QEMU with a vsock device would need it; no VM of banger's has one",
    needs: ["vhostVsock"],
    decide: ({ vhostVsock }) => {
      if (vhostVsock === "usable") return ok("/dev/vhost-vsock can be opened, and is not needed");
      const state =
        vhostVsock === "absent" ? "there is no /dev/vhost-vsock" : "this user may not open /dev/vhost-vsock";
      return warning(
        `${state}: only QEMU with a vsock device would need it; here Firecracker has a vsock of its own on a socket, and QEMU a virtio-serial port`,
        {
          fix: "sudo modprobe vhost_vsock   # only for other programs: banger does not need it",
        },
      );
    },
  }),
  check({
    id: "firecracker",
    why: "the VMM that starts guests quickest, where KVM works",
    needs: ["firecracker", "kvm"],
    decide: ({ firecracker, kvm }) => {
      const { probe, path, sha256, origin } = firecracker;
      const short = sha256 === null ? "" : `, sha256 ${sha256.slice(0, 16)}…`;
      if (!probe.ok) {
        if (path === null) {
          const isPointless = kvm.device !== "usable";
          const state = probe.reason.replace(/ \(looked in .*\)$/, "");
          return isPointless
            ? skipped(`${state}; without KVM it could not run`)
            : warning(state, {
                fix: "banger bundle fetch firecracker   # or put the official binary at /usr/local/bin/firecracker",
              });
        }
        return skipped(`${probe.reason}${short}`);
      }
      const { version, isStatic } = probe.binary;
      const what = `Firecracker ${version} at ${probe.binary.path}${short}`;
      if (origin === "changed") {
        return warning(`${what} is another file than the one that was recorded as your own`, {
          fix: `banger bundle use firecracker ${probe.binary.path}   # records this one`,
        });
      }
      if (isStatic === false) {
        return warning(`${what} is not linked statically: it carries no seccomp filter, and the jailer refuses it`, {
          fix: "put the official binary, which is static, at /usr/local/bin/firecracker",
        });
      }
      return ok(`${what}, static, ${originWords[origin]}`);
    },
  }),
  check({
    id: "jail",
    why: "with vmm.jail a Firecracker that was broken into has nothing but its own VM's files",
    needs: ["jail"],
    decide: ({ jail }) => {
      if (jail === null) return skipped("vmm.jail is off: VMMs run with the rights of this user");
      if ("jailer" in jail)
        return ok(`Firecracker is run in a jail, as a user of its own for each VM, by ${jail.jailer}`);
      return error(fail("vmm.jail_unusable", { detail: jail.refusal, fix: jail.fix }), {
        fix: jail.fix ?? "mend what firecracker says here",
      });
    },
  }),
  check({
    id: "qemu",
    why: "the VMM that runs guests everywhere, by emulation where KVM does not work",
    needs: ["qemu", "firecracker"],
    decide: ({ qemu, firecracker }) => {
      if (qemu.ok) return ok(`QEMU ${qemu.binary.version} at ${qemu.binary.path}`);
      const repairs = qemu.package === null ? [] : [["sudo", "apt-get", "install", "-y", qemu.package]];
      if (firecracker.probe.ok)
        return warning(`${qemu.reason}; Firecracker runs VMs here`, { repairs, ...elsewhere(repairs) });
      return error(qemu.reason, { repairs, ...elsewhere(repairs) });
    },
  }),
  check({
    id: "vmm",
    why: "what a new VM is run by, unless it names another",
    needs: ["choice"],
    decide: ({ choice }) => {
      if (choice.ok) return ok(choice.reason);
      const [missing] = choice.packages;
      return missing === undefined
        ? error(fail("vmm.unavailable", { vmm: choice.vmm, detail: choice.reason }), {
            fix: "mend what kvm, firecracker and qemu say here",
          })
        : error(fail("host.command_missing", { command: choice.vmm, package: missing }), {
            repairs: [["sudo", "apt-get", "install", "-y", missing]],
          });
    },
  }),
];

const elsewhere = (repairs: readonly unknown[]) =>
  repairs.length > 0 ? {} : { fix: "use an x86-64 host, or a newer QEMU" };
