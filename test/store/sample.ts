// Records to store, made to order, and a directory that goes away.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyRuntime, type VmRecord, type VmSpec } from "../../src/spec/vm.ts";

export const idOf = (index: number): string => index.toString(16).padStart(12, "0");

export const sampleSpec = (name: string): VmSpec => ({
  version: 1,
  name,
  imageId: "img-1",
  imageName: "debian-13",
  kernelId: "k".repeat(64),
  vmm: "qemu",
  vcpus: 2,
  memoryMiB: 2048,
  disks: [{ id: "root", role: "root", sizeMiB: 40960 }],
  mounts: [],
  networks: [{ mode: "bridge", slot: 2, mac: "02:00:00:00:00:02" }],
  user: { name: "ada", uid: 1000, gid: 1000, home: "/home/ada", shell: "/bin/bash" },
  hostname: name,
  authorizedKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE ada@host"],
  machineId: "0123456789abcdef0123456789abcdef",
  labels: { team: "core" },
  hasUserData: false,
  hasWildcardName: false,
  forwards: [],
});

export const sampleVm = (index: number, name = `vm-${index}`): VmRecord => ({
  id: idOf(index),
  state: "stopped",
  spec: sampleSpec(name),
  runtime: emptyRuntime,
  createdAt: "2026-11-22T10:00:00.000Z",
});

/** Runs `work` with a new directory, which is removed whatever happens. */
export const inDirectory = async <Result>(work: (directory: string) => Result | Promise<Result>): Promise<Result> => {
  const directory = mkdtempSync(join(tmpdir(), "bgr-store-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

/** The code of the error that `work` throws, or what it answered instead. */
export const codeThrownBy = (work: () => unknown): unknown => {
  try {
    return { answered: work() };
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
};
