// A creation as one list that can be read: everything the VM owns, each with its undo.
import type { Step } from "../engine/step.ts";
import type { CreatePlan } from "../spec/plan.ts";
import type { Context } from "./context.ts";
import { ensureKeyPair } from "./key-pair.ts";

/** What only the run needs; undoing is possible from the plan alone. */
export type CreateInput = { userData: string | null; userDataPath: string };

/** The steps of a creation. The record is older than the first and younger than the last undo. Recovery passes no input: it only ever undoes. */
export const createSteps = (context: Context, plan: CreatePlan, input: CreateInput | null): readonly Step[] => {
  const { host } = context;
  const given = (): CreateInput => {
    if (!input) throw new TypeError("a recovered creation is only undone");
    return input;
  };

  return [
    {
      name: "files.make",
      run: async () => {
        await host.files.makeDir(plan.dataDir);
        await host.files.makeDir(plan.stateDir);
        const { userData, userDataPath } = given();
        if (userData !== null) await host.files.writeAtomic(userDataPath, userData, 0o600);
      },
      undo: async () => {
        await host.files.removeTree(plan.dataDir);
        await host.files.removeTree(plan.stateDir);
      },
    },
    {
      name: "keys.make",
      run: async () => {
        await makeHostKey(context, plan);
      },
      undo: async () => {
        for (const path of [plan.hostKeyPath, `${plan.hostKeyPath}.pub`, plan.knownHostsPath])
          await host.files.removeFile(path);
      },
    },
    {
      name: "disk.clone",
      run: async (signal) => {
        await host.files.cloneDisk({
          from: plan.disk.imagePath,
          to: plan.disk.path,
          sizeMiB: plan.disk.sizeMiB,
          signal,
        });
      },
      undo: () => host.files.removeFile(plan.disk.path),
    },
  ];
};

/** The alias under which a VM's host key is pinned: it never changes, as names and addresses do. */
export const hostKeyAlias = (vmId: string): string => `banger-${vmId}`;

/** The host key is made here rather than in the guest, so that it is known before the first connection. */
const makeHostKey = async (context: Context, plan: CreatePlan): Promise<void> => {
  const { host } = context;
  const publicKey = await ensureKeyPair(host, { path: plan.hostKeyPath, comment: `root@${plan.vm.name}` });
  const [kind, body] = publicKey.split(" ");
  await host.files.writeAtomic(plan.knownHostsPath, `${hostKeyAlias(plan.vm.id)} ${kind} ${body}\n`, 0o600);
};
