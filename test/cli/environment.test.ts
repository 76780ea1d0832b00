// Claims about settings that come from the environment of the terminal that makes a VM.
import { expect, test } from "bun:test";
import { withEnvironment } from "../../src/cli/environment.ts";
import type { Invocation } from "../../src/cli/session.ts";

const invocation = (name: string, input: Record<string, unknown>): Invocation =>
  ({ command: { name }, input, refs: [], rest: [] }) as unknown as Invocation;

const env = { BANGER_VM_MEMORY: "8G", BANGER_VM_VCPU: "2", BANGER_VM_DISK: "auto", BANGER_VM_IMAGE: "" };

test("a variable counts where no flag was given", () => {
  expect(withEnvironment(invocation("vm.create", {}), env).input).toEqual({ memory: "8G", vcpu: 2 });
});

test("a flag wins over a variable", () => {
  expect(withEnvironment(invocation("vm.create", { memory: "1G" }), env).input.memory).toBe("1G");
});

test("a number that is none reaches the daemon's check rather than being dropped", () => {
  expect(withEnvironment(invocation("vm.create", {}), { BANGER_VM_VCPU: "many" }).input.vcpu).toBeNaN();
});

test("other commands are as they were typed", () => {
  expect(withEnvironment(invocation("vm.set", { vm: "web" }), env).input).toEqual({ vm: "web" });
});
