// How VMs are connected where nobody says otherwise, what is said about it, and what stays closed to guests of a namespace.
import { describe, expect, test } from "bun:test";
import { closedToGuests, parseRoutes } from "../../src/core/net-routes.ts";
import { decideNetworkWay, type NetworkFacts } from "../../src/core/network-way.ts";

const open: NetworkFacts = {
  uid: 1000,
  rootRefusal: null,
  namespaceRefusal: null,
  isRestrictedByAppArmor: false,
  hasPasta: true,
  canOpenTun: true,
  kvm: "usable",
};
const withoutRoot: NetworkFacts = { ...open, rootRefusal: "sudo is not installed" };
const fixes = (facts: NetworkFacts) => decideNetworkWay(facts, null).obstacles.map(({ fix }) => fix);

describe("the way VMs are connected", () => {
  test("is a bridge for root and for who can have root, and a namespace for everyone else", () => {
    expect(decideNetworkWay({ ...open, uid: 0 }, null)).toMatchObject({ mode: "bridge", isOpen: true });
    expect(decideNetworkWay(open, null)).toMatchObject({ mode: "bridge", isOpen: true });
    expect(decideNetworkWay(withoutRoot, null)).toMatchObject({ mode: "namespace", isOpen: true });
  });

  test("is what the configuration says, open or not", () => {
    expect(decideNetworkWay({ ...open, uid: 0 }, "namespace")).toMatchObject({ mode: "namespace", isOpen: true });
    expect(decideNetworkWay(withoutRoot, "bridge")).toMatchObject({ mode: "bridge", isOpen: false });
  });

  test("names what closes it, each with the one command that opens it", () => {
    expect(fixes(open)).toEqual([]);
    expect(fixes(withoutRoot)).toEqual(["banger setup"]);
    expect(fixes({ ...open, hasPasta: false })).toEqual(["sudo apt-get install passt"]);
    expect(fixes({ ...open, canOpenTun: false })).toEqual(["sudo chmod 0666 /dev/net/tun"]);
    expect(fixes({ ...open, namespaceRefusal: "no" })).toEqual(["sudo sysctl user.max_user_namespaces=63000"]);
    expect(fixes({ ...open, namespaceRefusal: "no", isRestrictedByAppArmor: true })).toEqual([
      "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ]);
    expect(fixes({ ...open, kvm: "forbidden" })[0]).toStartWith("sudo usermod -aG kvm");
  });

  test("where both are closed is the one that asks for less", () => {
    expect(decideNetworkWay({ ...withoutRoot, hasPasta: false }, null)).toMatchObject({
      mode: "namespace",
      isOpen: false,
    });
  });
});

test("closed to guests are the host's own addresses and the bridges of every instance, and nothing else", () => {
  const rows = [
    { dst: "default", gateway: "192.0.2.1", dev: "eth0" },
    { dst: "192.0.2.0/24", dev: "eth0" },
    { dst: "10.70.1.0/24", dev: "bgr-abcde" },
    { type: "local", dst: "192.0.2.2", dev: "eth0", table: "local" },
    { type: "local", dst: "10.70.1.1", dev: "bgr-abcde", table: "local" },
    { type: "local", dst: "127.0.0.0/8", dev: "lo", table: "local" },
    { dst: "172.17.0.0/16", dev: "docker0" },
  ];
  expect(closedToGuests(parseRoutes(JSON.stringify(rows)))).toEqual(["10.70.1.0/24", "10.70.1.1", "192.0.2.2"]);
});
