// What can be subscribed to: every change of a VM, image or operation, each with a cursor that can be resumed.
import { z } from "zod";
import { EndCause, VmState } from "./vm.ts";

/** Progress of one step of an operation; `ms` once it ended. */
export const StepEvent = z.object({
  kind: z.literal("step"),
  operation: z.string(),
  step: z.string(),
  phase: z.enum(["begin", "done", "failed", "undo", "undone", "undo_failed"]),
  ms: z.number().nullable(),
});
export type StepEvent = z.infer<typeof StepEvent>;

/** A note while something long runs (image builds), or a line that a program of the user's printed, which is shown whole. */
export const NoteEvent = z.object({ kind: z.literal("note"), text: z.string(), isOutput: z.boolean().optional() });
export type NoteEvent = z.infer<typeof NoteEvent>;

export const ProgressEvent = z.discriminatedUnion("kind", [StepEvent, NoteEvent]);
export type ProgressEvent = z.infer<typeof ProgressEvent>;

export const ChangeEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("vm.state"), vm: z.string(), id: z.string(), state: VmState, cause: EndCause.nullable() }),
  z.object({ type: z.literal("vm.changed"), vm: z.string(), id: z.string(), fields: z.array(z.string()) }),
  z.object({ type: z.literal("vm.deleted"), vm: z.string(), id: z.string() }),
  z.object({ type: z.literal("vm.step"), vm: z.string(), id: z.string(), step: StepEvent }),
  z.object({ type: z.literal("image.added"), image: z.string(), id: z.string() }),
  z.object({ type: z.literal("image.deleted"), image: z.string(), id: z.string() }),
  z.object({ type: z.literal("daemon.started"), version: z.string(), pid: z.number() }),
  z.object({ type: z.literal("daemon.note"), text: z.string() }),
]);
export type ChangeEvent = z.infer<typeof ChangeEvent>;

/** A change as it is streamed: `cursor` is what `events.subscribe` takes to go on after it. */
export const Event = z.object({ cursor: z.number().int(), at: z.string(), event: ChangeEvent });
export type Event = z.infer<typeof Event>;
