// Who does what needs root, and as whom the rest runs: sudo and its line, the session, user namespaces, the VMMs themselves.
import { fail } from "../spec/errors.ts";
import { isJailUid } from "../spec/names.ts";
import { check, error, ok, skipped, warning } from "./check.ts";

const CONNECT_PACKAGE = { ip: "iproute2", nft: "nftables" } as const;

/** Programs of an image build, with Debian's packages. */
const IMAGE_TOOLS: Readonly<Record<string, string>> = {
  mmdebstrap: "mmdebstrap",
  "mkfs.ext4": "e2fsprogs",
  tar: "tar",
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
  zstd: "zstd",
  xz: "xz-utils",
  cpio: "cpio",
  depmod: "kmod",
  mksquashfs: "squashfs-tools",
  objcopy: "binutils",
};

const install = (packages: readonly string[]) => [["sudo", "apt-get", "install", "-y", ...packages]];
const setup = [["banger", "setup", "--yes"]];

const NAMESPACE_REPAIR = ["sudo", "sysctl", "-w", "user.max_user_namespaces=15000"];

export const rootChecks = [
  check({
    id: "sudo",
    why: "bridges, taps and firewall rules need root, which a helper of its own is given by one line for sudo",
    needs: ["root", "user", "mode"],
    decide: ({ root, user, mode }) => {
      const { launch, refusal } = root;
      if (mode === "namespace") return skipped("VMs in a network namespace need no root");
      if (launch.kind === "refusal") {
        if (launch.lacks === "sudo") {
          return error(fail("root.sudo_missing", {}));
        }
        return error(fail("root.unavailable", { detail: launch.detail }), { repairs: setup });
      }
      if (launch.argv0 !== null) return ok("the helper is started directly: this is root");
      if (refusal !== null) {
        const detail = `sudo does not let ${user.name} start it without a password (${refusal})`;
        return error(fail("root.unavailable", { detail }), { repairs: setup });
      }
      return ok(`sudo starts ${launch.argv.at(-1)}, and nothing else, without a password`);
    },
  }),
  check({
    id: "helper",
    why: "a helper of another banger may lack what this one asks of it",
    needs: ["helper"],
    decide: ({ helper }) => {
      if (helper === null) return skipped("no helper is installed, or none is needed");
      if (helper.isCurrent) return ok(`${helper.path} is this banger's`);
      return warning(`${helper.path} is not this banger's: of another version, or of another copy`, {
        repairs: setup,
        remark: "installs that of this one",
      });
    },
  }),
  check({
    id: "linger",
    why: "what lies below /run/user goes at logout, and with it the sockets by which VMs are reached",
    needs: ["linger", "user"],
    decide: ({ linger, user }) => {
      const repairs = [["loginctl", "enable-linger", user.name]];
      if (linger.vanishes && !linger.isLingering)
        return error(`sockets lie in ${linger.runtimeDir}, which goes when ${user.name} logs out`, { repairs });
      if (linger.killsUserProcesses && !linger.isLingering)
        return warning("logind ends all programs of a user at logout (KillUserProcesses), VMs too", { repairs });
      return ok(linger.vanishes ? "this user lingers: VMs outlive the session" : "nothing of VMs goes at logout");
    },
  }),
  check({
    id: "user-namespaces",
    why: "images are built without root, and VMs connected without it, in a user namespace",
    needs: ["userNamespace", "subordinateIds", "tools", "user", "mode"],
    decide: ({ userNamespace, subordinateIds, tools, user, mode }) => {
      const bad = mode === "namespace" ? error : warning;
      if (!userNamespace.works) {
        if (user.uid === 0 && mode === "bridge") return skipped("root needs none");
        const repair = userNamespace.repair.length > 0 ? userNamespace.repair : NAMESPACE_REPAIR;
        const command = repair.join(" ");
        return bad(fail("image.no_user_namespace", { detail: userNamespace.detail, command }));
      }
      if (user.uid === 0) return ok("a user namespace can be made; root needs none");
      if (tools.newuidmap === null) {
        const detail = "newuidmap is not installed";
        const command = "sudo apt-get install uidmap";
        return warning(fail("image.no_user_namespace", { detail, command }), { repairs: install(["uidmap"]) });
      }
      if (!subordinateIds.uids || !subordinateIds.gids) {
        const range = ["--add-subuids", "100000-165535", "--add-subgids", "100000-165535"];
        const repair = ["sudo", "usermod", ...range, user.name];
        const detail = `/etc/subuid and /etc/subgid give ${user.name} no ids`;
        return warning(fail("image.no_user_namespace", { detail, command: repair.join(" ") }), { repairs: [repair] });
      }
      return ok("a user namespace can be made, with ids of its own");
    },
  }),
  check({
    id: "vmm-privilege",
    why: "a guest that breaks out of its VMM has the rights of whoever that runs as",
    needs: ["vmmProcesses", "user"],
    decide: ({ vmmProcesses, user }) => {
      const asRoot = vmmProcesses.filter(({ uid }) => uid === 0);
      if (user.uid === 0) {
        return warning("bangerd runs as root, and so do its VMMs", {
          fix: "run banger as an ordinary user: sudo usermod -aG kvm NAME, then banger setup as NAME",
        });
      }
      if (asRoot.length > 0) {
        return error(`the VMMs of ${asRoot.map(({ name }) => name).join(", ")} run as root`, {
          fix: `banger restart ${asRoot.map(({ name }) => name).join(" ")}`,
        });
      }
      const count = vmmProcesses.length;
      const jailed = vmmProcesses.filter(({ uid }) => isJailUid(uid)).length;
      const now = [...(count > 0 ? [`${count} just now`] : []), ...(jailed > 0 ? [`${jailed} of them in a jail`] : [])];
      return ok(`VMMs run as ${user.name}, without privilege${now.length > 0 ? ` (${now.join(", ")})` : ""}`);
    },
  }),
  check({
    id: "network-tools",
    why: "bridges, taps and rules are made with ip and nft",
    needs: ["tools"],
    decide: ({ tools }) => {
      const missing = (["ip", "nft"] as const).filter((name) => tools[name] === null);
      const [first] = missing;
      if (first === undefined) return ok(`${tools.ip} and ${tools.nft}`);
      return error(fail("host.command_missing", { command: first, package: CONNECT_PACKAGE[first] }), {
        fix: `sudo apt-get install ${missing.map((name) => CONNECT_PACKAGE[name]).join(" ")}`,
        repairs: install(missing.map((name) => CONNECT_PACKAGE[name])),
      });
    },
  }),
  check({
    id: "pasta",
    why: "VMs in a network namespace reach the outside through it",
    needs: ["tools", "mode"],
    decide: ({ tools, mode }) => {
      if (tools.pasta != null) return ok(`${tools.pasta}`);
      if (mode === "bridge") return skipped("pasta is not installed; VMs on a bridge need none");
      return error(fail("host.command_missing", { command: "pasta", package: "passt" }), {
        repairs: install(["passt"]),
      });
    },
  }),
  check({
    id: "ssh",
    why: "keys of VMs are made with ssh-keygen, and `banger ssh` runs ssh",
    needs: ["tools"],
    decide: ({ tools }) => {
      const missing = ["ssh", "ssh-keygen"].find((name) => tools[name] == null);
      if (missing === undefined) return ok(`${tools.ssh}`);
      return error(fail("host.command_missing", { command: missing, package: "openssh-client" }), {
        repairs: install(["openssh-client"]),
      });
    },
  }),
  check({
    id: "image-tools",
    why: "`banger image build` makes images from Debian's packages with them",
    needs: ["tools"],
    decide: ({ tools }) => {
      const commands = Object.keys(IMAGE_TOOLS).filter((name) => tools[name] == null);
      if (commands.length === 0) return ok("all programs of an image build are here");
      const packages = [...new Set(commands.map((name) => IMAGE_TOOLS[name] ?? name))];
      return warning(fail("image.tools_missing", { commands, packages }), { repairs: install(packages) });
    },
  }),
];
