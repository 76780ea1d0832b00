// Reads the plans of operations as they were stored: one of a newer banger, or one that is damaged, says so and is never half understood.
import type { z } from "zod";
import { fail } from "../spec/errors.ts";
import { CreatePlan, StartPlan } from "../spec/plan.ts";
import type { Operation } from "../spec/records.ts";
import type { Context } from "./context.ts";

/** The newest version that the schemas describe. */
const PLAN_VERSION = 1;

type Place = Pick<Context, "store">;

const readPlan = <Plan>({ store }: Place, operation: Operation, schema: z.ZodType<Plan>): Plan => {
  const parsed = schema.safeParse(operation.plan);
  if (parsed.success) return parsed.data;
  const name = store.vms.get(operation.subject)?.spec.name ?? operation.subject;
  if (operation.planVersion > PLAN_VERSION)
    throw fail("store.newer_document", {
      what: `the ${operation.kind} of ${name}`,
      found: operation.planVersion,
      known: PLAN_VERSION,
    });
  const [issue] = parsed.error.issues;
  const detail = `the plan of the ${operation.kind} of ${name}: ${issue?.path.join(".") || "it"}: ${issue?.message}`;
  throw fail("store.corrupt", { path: store.path, detail });
};

/** Errors: store.newer_document, store.corrupt. */
export const readStartPlan = (place: Place, operation: Operation): StartPlan => readPlan(place, operation, StartPlan);

/** Errors: store.newer_document, store.corrupt. */
export const readCreatePlan = (place: Place, operation: Operation): CreatePlan =>
  readPlan(place, operation, CreatePlan);

/** Where a start put its VM in the network, also where the rest of its plan cannot be read: its rules and its tap stay. */
export const placesOf = (operation: Operation | null): StartPlan["network"][] => {
  const parsed = StartPlan.pick({ network: true }).safeParse(operation?.plan);
  return parsed.success ? [parsed.data.network] : [];
};
