// Says in words for people whose rights a VM's VMM has. Pure.

import { jailUid } from "../spec/names.ts";
import type { LaunchPlan } from "../spec/plan.ts";
import type { NetworkMode } from "../spec/vm.ts";

export const describePrivilege = (options: {
  uid: number;
  userName: string;
  mode: NetworkMode;
  jail: LaunchPlan["jail"];
}): string => {
  const { uid, userName, mode, jail } = options;
  if (jail) return `in a jail: uid ${jailUid(jail.vm)}, with nothing but its own files, by ${jail.jailer}`;
  const place = mode === "namespace" ? " in the namespaces of the instance" : "";
  return uid === 0 ? `as root${place}` : `as ${userName} (uid ${uid})${place}, without further rights`;
};
