// The one contract: every method of the daemon, and the types that handlers and clients derive from it.
import type { z } from "zod";
import { dnsMethods } from "./dns.ts";
import { imageMethods } from "./image.ts";
import { insideMethods } from "./inside.ts";
import type { Method } from "./method.ts";
import { portMethods } from "./ports.ts";
import { systemMethods } from "./system.ts";
import { vmMethods } from "./vm.ts";

export const contract = {
  ...systemMethods,
  ...vmMethods,
  ...insideMethods,
  ...portMethods,
  ...imageMethods,
  ...dnsMethods,
};

/** The range of wire protocols this build speaks; raised when a message changes in a way that older sides cannot skip. */
export const PROTOCOL = { min: 1, max: 1 } as const;

export type Contract = typeof contract;
export type MethodName = keyof Contract;
/** What a caller sends: defaults may be left out. */
export type Input<Name extends MethodName> = z.input<Contract[Name]["input"]>;
/** What a handler gets: validated, with defaults filled in. */
export type ParsedInput<Name extends MethodName> = z.output<Contract[Name]["input"]>;
export type Output<Name extends MethodName> = z.output<Contract[Name]["output"]>;
export type EventOf<Name extends MethodName> =
  Contract[Name] extends Method<z.ZodType, z.ZodType, infer Events>
    ? Events extends z.ZodType
      ? z.output<Events>
      : never
    : never;

/** What a handler may use of its call. */
export type Call<Name extends MethodName> = {
  /** Aborts when the client goes away, for methods that say `onDisconnect: "cancel"`, and when the daemon stops. */
  signal: AbortSignal;
  emit: (event: EventOf<Name>) => void;
  /** For whoever has thousands of events at once: resolves when the client has taken most of what was told. More than it takes cuts it off. */
  untilRoom: () => Promise<void>;
  /** Who asked, for the privileged log: method and request id. */
  requestedBy: string;
};

export type Handlers = {
  [Name in MethodName]: (input: ParsedInput<Name>, call: Call<Name>) => Promise<Output<Name>>;
};

export type Client = {
  call<Name extends MethodName>(
    name: Name,
    input: Input<Name>,
    options?: { signal?: AbortSignal; onEvent?: (event: EventOf<Name>) => void; timeoutMs?: number },
  ): Promise<Output<Name>>;
};
