// ssh's configuration: what is written for VMs as ssh itself reads it, and the one Include, put in and taken out without a trace.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderFolderUri } from "../../src/cli/run-ssh-config.ts";
import { installInclude, isIncluded, uninstallInclude } from "../../src/client/ssh-include.ts";
import { renderSshConfig } from "../../src/core/ssh-config.ts";

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "bgr-ssh-"));
});
afterAll(() => rmSync(home, { recursive: true }));

const render = () =>
  renderSshConfig({
    vms: [
      {
        id: "0123456789ab",
        fqdn: "web.vm",
        user: "ada",
        hostKeyAlias: "bgr-abcde-0123456789ab",
        knownHostsPath: "/a b/50%/k",
      },
    ],
    zone: "vm",
    command: ["/opt/my tools/banger"],
    env: { XDG_STATE_HOME: "/it's/50%" },
    keyPath: "/keys/id",
  });

/** What ssh makes of it for a host, by `ssh -G`. */
const asRead = (path: string, host: string): Map<string, string> => {
  const { stdout, stderr, success } = Bun.spawnSync(["ssh", "-G", "-F", path, host]);
  if (!success) throw new TypeError(String(stderr));
  return new Map(
    String(stdout)
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
  );
};

describe.skipIf(Bun.which("ssh") === null)("what is written for ssh", () => {
  test("gives a VM its user, its pinned key, our identity, a way in, and no agent", () => {
    const path = join(home, "generated");
    writeFileSync(path, render(), { mode: 0o600 });
    const web = asRead(path, "web.vm");
    expect(web.get("user")).toBe("ada");
    expect(web.get("hostkeyalias")).toBe("bgr-abcde-0123456789ab");
    expect(web.get("userknownhostsfile")).toBe("/a b/50%/k");
    expect(web.get("stricthostkeychecking")).toBe("true");
    expect(web.get("identityfile")).toBe("/keys/id");
    expect(web.get("identitiesonly")).toBe("yes");
    expect(web.get("forwardagent")).toBe("no");
    expect(web.get("proxycommand")).toContain("vm proxy 0123456789ab");
    expect(asRead(path, "other.vm").get("proxycommand")).toEndWith("vm proxy .");
    expect(asRead(path, "example.org").get("proxycommand")).toBeUndefined();
  });

  test("what a person's own configuration says comes after it, and does not change who is reached", () => {
    const own = join(home, "own");
    writeFileSync(own, `Include "${join(home, "generated")}"\nHost *\n  User root\n  ProxyCommand none\n  Port 2222\n`);
    expect(asRead(own, "web.vm").get("user")).toBe("ada");
    expect(asRead(own, "web.vm").get("proxycommand")).toContain("vm proxy");
    expect(asRead(own, "example.org").get("user")).toBe("root");
  });
});

describe("the one Include", () => {
  const CONFIG = "/data/banger/ssh/config";
  let count = 0;
  const place = (): { at: string; config: string } => {
    const at = join(home, String(++count));
    mkdirSync(at);
    return { at, config: join(at, ".ssh/config") };
  };
  const withConfig = (bytes: Uint8Array | string, mode = 0o600) => {
    const made = place();
    mkdirSync(join(made.at, ".ssh"), { mode: 0o700 });
    writeFileSync(made.config, bytes);
    chmodSync(made.config, mode);
    return made;
  };

  for (const [what, bytes] of [
    ["ordinary lines", "Host a\n  User b\n"],
    ["no newline at its end", "Host a\n  User b"],
    ["nothing in it", ""],
    ["bytes that are no UTF-8, and CRLF", Uint8Array.of(0x23, 0xff, 0xfe, 0x0d, 0x0a, 0x41)],
  ] as const) {
    test(`goes in at the top and out again: a file with ${what}`, () => {
      const { at, config } = withConfig(bytes, 0o640);
      const before = readFileSync(config);
      expect(installInclude(at, CONFIG)).toEqual({ path: config, changed: true });
      expect(readFileSync(config, "latin1").split("\n")[1]).toBe(`Include "${CONFIG}"`);
      expect(readFileSync(config).subarray(-before.length || Number.POSITIVE_INFINITY)).toEqual(before);
      expect(statSync(config).mode & 0o777).toBe(0o640);
      expect(isIncluded(at, CONFIG)).toBe(true);
      expect(installInclude(at, CONFIG).changed).toBe(false);
      expect(uninstallInclude(at, CONFIG).changed).toBe(true);
      expect(readFileSync(config)).toEqual(before);
      expect(statSync(config).mode & 0o777).toBe(0o640);
      expect(uninstallInclude(at, CONFIG).changed).toBe(false);
      expect(readdirSync(join(at, ".ssh"))).toEqual(["config"]);
    });
  }

  test("a file behind a link stays there, and the link a link", () => {
    const { at, config } = place();
    mkdirSync(join(at, ".ssh"));
    mkdirSync(join(at, "dotfiles"));
    writeFileSync(join(at, "dotfiles/ssh"), "Host a\n");
    symlinkSync("../dotfiles/ssh", config);
    installInclude(at, CONFIG);
    expect(lstatSync(config).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(at, "dotfiles/ssh"), "utf8")).toContain("Include");
    uninstallInclude(at, CONFIG);
    expect(readFileSync(join(at, "dotfiles/ssh"), "utf8")).toBe("Host a\n");
    expect(lstatSync(config).isSymbolicLink()).toBe(true);
  });

  test("where there was no file, or not even ~/.ssh, there is none afterwards", () => {
    const { at, config } = place();
    installInclude(at, CONFIG);
    expect([statSync(config).mode & 0o777, statSync(join(at, ".ssh")).mode & 0o777]).toEqual([0o600, 0o700]);
    uninstallInclude(at, CONFIG);
    expect(existsSync(join(at, ".ssh"))).toBe(false);
  });

  test("what was written below it meanwhile stays, and so do two instances beside each other", () => {
    const { at, config } = place();
    installInclude(at, CONFIG);
    installInclude(at, "/other/banger/ssh/config");
    writeFileSync(config, `${readFileSync(config, "utf8")}Host mine\n`);
    uninstallInclude(at, CONFIG);
    expect(isIncluded(at, "/other/banger/ssh/config")).toBe(true);
    uninstallInclude(at, "/other/banger/ssh/config");
    expect(readFileSync(config, "utf8")).toBe("Host mine\n");
  });

  test("a directory that cannot be written is said, and nothing is lost", () => {
    const { at, config } = place();
    mkdirSync(config, { recursive: true });
    expect(() => installInclude(at, CONFIG)).toThrow(config);
    expect(statSync(config).isDirectory()).toBe(true);
  });
});

test("a folder of a VM is named to an editor with all its characters", () => {
  expect(renderFolderUri("web.vm", "/home/ada/a b#c")).toBe("vscode-remote://ssh-remote+web.vm/home/ada/a%20b%23c");
});
