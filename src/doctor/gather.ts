// Gathers the facts that checks ask for, each by a function of its own, side by side and each at most once.
import type { DoctorFacts, DoctorPorts, FactName } from "./facts.ts";
import { gatherFiles } from "./gather-files.ts";
import { gatherNetwork } from "./gather-network.ts";
import { gatherSystem } from "./gather-system.ts";

export type Gatherers = { [Name in FactName]: (ports: DoctorPorts) => Promise<DoctorFacts[Name]> };

const gatherers: Gatherers = { ...gatherSystem, ...gatherNetwork, ...gatherFiles };

export type Gathered = { [Name in FactName]?: { value: DoctorFacts[Name] } | { failure: unknown } };

/** What could not be found out is a failure of that fact alone. */
export const gatherFacts = async (ports: DoctorPorts, names: Iterable<FactName>): Promise<Gathered> => {
  const wanted = [...new Set(names)];
  const found = await Promise.all(
    wanted.map(async (name) => {
      try {
        return [name, { value: await gatherers[name](ports) }] as const;
      } catch (failure) {
        return [name, { failure }] as const;
      }
    }),
  );
  return Object.fromEntries(found) as Gathered;
};
