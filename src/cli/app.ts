// Builds the parser: for one command when it is known which, for all of them when help, hints or completions are asked for.
import {
  AliasNotFoundError,
  type Application,
  ArgumentParseError,
  ArgumentScannerError,
  buildApplication,
  buildCommand,
  buildRouteMap,
  type Command,
  type CommandContext,
  EnumValidationError,
  FlagNotFoundError,
  help,
  type PartialApplicationConfiguration,
  type RouteMap,
  text_en,
  UnexpectedFlagError,
  UnexpectedPositionalError,
  UnsatisfiedFlagError,
  UnsatisfiedPositionalError,
} from "@stricli/core";
import type { CommandData } from "./command-data.ts";
import { groups } from "./command-table.ts";
import { type Complete, parametersOf, readInvocation } from "./parameters.ts";
import type { Invocation } from "./session.ts";

export type Place = { cwd: string; home: string | undefined; complete: Complete };

/** What the parser found wrong with a line; `corrections` are words that were perhaps meant. */
export type LineFault = { message: string; corrections: readonly string[] };

export type ParserPort = {
  place: Place;
  onCommand: (invocation: Invocation) => Promise<void>;
  onFault: (fault: LineFault) => void;
};

const formatting = {
  useAliasInUsageLine: false,
  onlyRequiredInUsageLine: true,
  caseStyle: "convert-camel-to-kebab",
} as const;

const buildOne = (command: CommandData, port: ParserPort): Command<CommandContext> =>
  buildCommand({
    func: async (flags: Record<string, unknown>, ...args: unknown[]) =>
      port.onCommand(readInvocation(command, { flags, args })),
    // The data decides the parameters; the parser's own inference of their types has nothing to add.
    parameters: parametersOf(command, port.place) as never,
    docs: { brief: command.summary },
  });

/** By class, never by a class's name: the built executable has shorter ones. */
const spellScanError = (exception: ArgumentScannerError): string => {
  if (exception instanceof FlagNotFoundError) return `There is no flag --${exception.input}.`;
  if (exception instanceof AliasNotFoundError) return `There is no flag -${exception.input}.`;
  if (exception instanceof UnsatisfiedPositionalError) return `${exception.placeholder} is missing.`;
  if (exception instanceof UnsatisfiedFlagError) return `--${exception.externalFlagName} needs a value.`;
  if (exception instanceof UnexpectedPositionalError) {
    return `${JSON.stringify(exception.input)} is one word too many.`;
  }
  if (exception instanceof UnexpectedFlagError) return `--${exception.externalFlagName} was given twice.`;
  if (exception instanceof EnumValidationError) {
    const { externalFlagName, input, values } = exception;
    return `--${externalFlagName}: ${JSON.stringify(input)} is none of ${values.join(", ")}.`;
  }
  if (exception instanceof ArgumentParseError) {
    const { externalFlagNameOrPlaceholder: name, exception: cause } = exception;
    return `${/^[A-Z]/.test(name) ? name : `--${name}`}: ${cause instanceof Error ? cause.message : String(cause)}.`;
  }
  return exception.message;
};

const messageOfScan = (exception: unknown): LineFault => {
  if (!(exception instanceof ArgumentScannerError)) {
    return { message: exception instanceof Error ? exception.message : String(exception), corrections: [] };
  }
  const corrections = exception instanceof FlagNotFoundError ? exception.corrections : [];
  return {
    message: spellScanError(exception),
    corrections: corrections.map((correction) => `--${correction.replace(/^-+/, "")}`),
  };
};

/** Only a slip of the finger is corrected: letters swapped, left out, or one too many. A guess at random helps nobody. */
const nearby = { threshold: 3, weights: { insertion: 1, deletion: 3, substitution: 2, transposition: 0 } };

const configuration = (name: string, port: ParserPort): PartialApplicationConfiguration => {
  const fault = (exception: unknown) => {
    port.onFault(messageOfScan(exception));
    return "";
  };
  return {
    name,
    scanner: { caseStyle: "allow-kebab-for-camel", allowArgumentEscapeSequence: true, distanceOptions: nearby },
    documentation: { ...formatting, disableAnsiColor: true },
    completion: { includeAliases: true, includeHiddenRoutes: true },
    localization: {
      text: {
        ...text_en,
        briefs: { ...text_en.briefs, argumentEscapeSequence: "what follows is no flag, even if it looks like one" },
        exceptionWhileParsingArguments: fault,
        noCommandRegisteredForInput: ({ input, corrections }) => {
          const known = corrections.map((correction) => correction.replaceAll("`", ""));
          port.onFault({ message: `There is no command ${JSON.stringify(input)}.`, corrections: known });
          return "";
        },
      },
    },
  };
};

const integrations = () => ({
  help: help({ brief: "explain this command", alias: "h", defaultForRouteMap: true, includeHidden: false, formatting }),
});

/** The parser of one command, named as it was typed. */
export const buildCommandApp = (
  command: CommandData,
  path: readonly string[],
  port: ParserPort,
): Application<CommandContext> =>
  buildApplication(buildOne(command, port), configuration(["banger", ...path].join(" "), port), integrations());

type Branch = { commands: Map<string, CommandData>; hidden: Set<string> };

/** One group of routes: `vm create` and its spellings below `vm`. */
const collect = (commands: readonly CommandData[], parent: readonly string[]): Branch => {
  const branch: Branch = { commands: new Map(), hidden: new Set() };
  for (const command of commands) {
    for (const path of [command.path, ...command.aliases]) {
      if (path.length !== parent.length + 1 || parent.some((word, index) => path[index] !== word)) continue;
      const word = path[parent.length] ?? "";
      branch.commands.set(word, command);
      if (path !== command.path) branch.hidden.add(word);
    }
  }
  return branch;
};

const routesOf = (branch: Branch, port: ParserPort): Record<string, Command<CommandContext>> =>
  Object.fromEntries([...branch.commands].map(([word, command]) => [word, buildOne(command, port)]));

const hide = (branch: Branch): Record<string, boolean> =>
  Object.fromEntries([...branch.hidden].map((word) => [word, true]));

/** The parser of everything. */
export const buildWholeApp = (commands: readonly CommandData[], port: ParserPort): Application<CommandContext> => {
  const top = collect(commands, []);
  const maps: Record<string, RouteMap<CommandContext>> = {};
  for (const [group, brief] of Object.entries(groups)) {
    const branch = collect(commands, [group]);
    maps[group] = buildRouteMap({ routes: routesOf(branch, port), docs: { brief, hideRoute: hide(branch) } });
  }
  const root = buildRouteMap({
    routes: { ...maps, ...routesOf(top, port) },
    docs: { brief: "Persistent microVMs on your own computer", hideRoute: hide(top) },
  });
  return buildApplication(root, configuration("banger", port), integrations());
};
