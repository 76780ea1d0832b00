// Decides how VMs are connected here when nobody says otherwise, why, and what would change it; `banger doctor` tells the same.
import type { NetworkMode } from "../spec/vm.ts";

/** What was found out about this host and user. */
export type NetworkFacts = {
  uid: number;
  /** Why the privileged helper cannot be started on the host itself; null when it can. */
  rootRefusal: string | null;
  /** What the kernel says to somebody without privilege who makes namespaces, in the words of banger-holder; null when it lets him. */
  namespaceRefusal: string | null;
  /** kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu from 23.10 on). */
  isRestrictedByAppArmor: boolean;
  hasPasta: boolean;
  /** /dev/net/tun can be opened for reading and writing. */
  canOpenTun: boolean;
  kvm: "usable" | "forbidden" | "missing";
};

/** Something that stands in the way of a mode, or makes it slow, and the command that takes it away. */
export type NetworkObstacle = {
  what: string;
  fix: string;
  /** The mode that does not work because of it; null when it works, but slowly. */
  closes: NetworkMode | null;
};

export type NetworkWay = {
  mode: NetworkMode;
  reason: string;
  /** Whether a VM can be connected that way as things are. */
  isOpen: boolean;
  obstacles: readonly NetworkObstacle[];
};

const findNamespaceObstacles = (facts: NetworkFacts): NetworkObstacle[] => {
  const closes = "namespace" as const;
  const found: NetworkObstacle[] = [];
  if (facts.namespaceRefusal !== null)
    found.push({
      what: facts.isRestrictedByAppArmor
        ? `AppArmor keeps users from working in namespaces: ${facts.namespaceRefusal}`
        : facts.namespaceRefusal,
      fix: facts.isRestrictedByAppArmor
        ? "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        : "sudo sysctl user.max_user_namespaces=63000",
      closes,
    });
  if (!facts.hasPasta)
    found.push({ what: "pasta is not installed, the way out", fix: "sudo apt-get install passt", closes });
  if (!facts.canOpenTun)
    found.push({ what: "/dev/net/tun cannot be opened", fix: "sudo chmod 0666 /dev/net/tun", closes });
  return found;
};

/** Everything that stands in the way of one mode or the other, or of speed. */
export const findNetworkObstacles = (facts: NetworkFacts): NetworkObstacle[] => {
  const bridge: NetworkObstacle[] =
    facts.rootRefusal === null ? [] : [{ what: facts.rootRefusal, fix: "banger setup", closes: "bridge" }];
  const kvm: NetworkObstacle[] =
    facts.kvm === "forbidden"
      ? [
          {
            what: "/dev/kvm is there and not yours",
            fix: "sudo usermod -aG kvm $USER   # then log in anew",
            closes: null,
          },
        ]
      : [];
  return [...bridge, ...findNamespaceObstacles(facts), ...kvm];
};

/** `wish` is the setting network.mode, null for `auto`. Pure. */
export const decideNetworkWay = (facts: NetworkFacts, wish: NetworkMode | null): NetworkWay => {
  const obstacles = findNetworkObstacles(facts);
  const isOpen = (mode: NetworkMode) => obstacles.every(({ closes }) => closes !== mode);
  const choose = (mode: NetworkMode, reason: string): NetworkWay => ({ mode, reason, isOpen: isOpen(mode), obstacles });
  if (wish !== null) return choose(wish, "network.mode says so");
  if (facts.uid === 0) return choose("bridge", "you are root");
  if (isOpen("bridge")) return choose("bridge", "the privileged helper can be started by sudo");
  if (isOpen("namespace")) return choose("namespace", `no root is to be had here: ${facts.rootRefusal}`);
  // Neither is open. A namespace needs a package or a setting, a bridge somebody's trust for ever: the former is asked for.
  return choose("namespace", "neither way is open");
};
