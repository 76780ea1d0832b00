// Compares the client's calls with Firecracker's own OpenAPI file, where one is at hand.
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { type Operation, operations } from "../../src/vmm/firecracker/api/operations.ts";
import { findFirecracker, searchPlaces } from "../../src/vmm/firecracker/binary.ts";

type Schema = {
  $ref?: string;
  type?: string;
  enum?: string[];
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
};
type Spec = {
  paths: Record<string, Record<string, { parameters?: { in: string; schema: Schema }[]; responses: Responses }>>;
  definitions: Record<string, Schema>;
};
type Responses = Record<string, { schema?: Schema }>;

/** The file that BANGER_FIRECRACKER_SPEC names, else the one beside the Firecracker that is found here. */
const findSpec = async (): Promise<{ path: string } | { missing: string }> => {
  const named = process.env.BANGER_FIRECRACKER_SPEC;
  if (named) return existsSync(named) ? { path: named } : { missing: `BANGER_FIRECRACKER_SPEC names ${named}` };
  const found = await findFirecracker(searchPlaces(process.env));
  if ("reason" in found) return { missing: `BANGER_FIRECRACKER_SPEC is not set, and ${found.reason}` };
  const directory = dirname(found.path);
  const file = readdirSync(directory).find((name) => /^firecracker_spec-.*\.yaml$/.test(name));
  return file ? { path: join(directory, file) } : { missing: `no firecracker_spec-….yaml in ${directory}` };
};

const found = await findSpec();
const spec: Spec | null = "path" in found ? (Bun.YAML.parse(readFileSync(found.path, "utf8")) as Spec) : null;

const resolve = (schema: Schema): Schema => {
  const name = schema.$ref?.split("/").at(-1);
  return name ? (spec?.definitions[name] ?? {}) : schema;
};

/** What the two say differently. A request may be narrower than theirs, an answer may be wider. */
const differences = (ours: Schema, theirs: Schema, where: { path: string; isRequest: boolean }): string[] => {
  const { path, isRequest } = where;
  const official = resolve(theirs);
  const found: string[] = [];
  if (official.type && ours.type !== official.type) found.push(`${path} is ${official.type}, not ${ours.type}`);
  const [narrow, wide] = isRequest ? [ours, official] : [official, ours];
  for (const value of narrow.enum ?? []) {
    if (wide.enum && !wide.enum.includes(value)) found.push(`${path} may not be ${value}`);
  }
  // Who sends must send all that who receives requires.
  const [sent, needed] = isRequest ? [ours, official] : [official, ours];
  for (const name of needed.required ?? []) {
    if (!sent.required?.includes(name)) found.push(`${path}.${name} may be missing`);
  }
  for (const [name, property] of Object.entries(ours.properties ?? {})) {
    const other = official.properties?.[name];
    if (other) found.push(...differences(property, other, { path: `${path}.${name}`, isRequest }));
    else found.push(`${path}.${name} is unknown`);
  }
  if (ours.items && official.items)
    found.push(...differences(ours.items, official.items, { path: `${path}[]`, isRequest }));
  return found;
};

const jsonSchemaOf = (schema: z.ZodObject): Schema => z.toJSONSchema(schema, { io: "input" }) as unknown as Schema;

const suite = spec ? describe : describe.skip;
suite(`Firecracker's OpenAPI file${"missing" in found ? ` (skipped: ${found.missing})` : ""}`, () => {
  for (const [name, operation] of Object.entries(operations) as [string, Operation][]) {
    test(`has the call ${name} as the client makes it`, () => {
      const official = spec?.paths[operation.path]?.[operation.method.toLowerCase()];
      if (!official) throw new Error(`${operation.method} ${operation.path} is not there`);
      const body = official.parameters?.find((parameter) => parameter.in === "body")?.schema;
      const answer = official.responses["200"]?.schema;
      expect(Boolean(body)).toBe(operation.request !== null);
      expect(Boolean(answer)).toBe(operation.answer !== null);
      if (operation.answer === null) expect(Object.keys(official.responses)).toContain("204");
      if (operation.request && body)
        expect(differences(jsonSchemaOf(operation.request), body, { path: "body", isRequest: true })).toEqual([]);
      if (operation.answer && answer)
        expect(differences(jsonSchemaOf(operation.answer), answer, { path: "answer", isRequest: false })).toEqual([]);
    });
  }

  test("is compared by a comparison that finds what differs", () => {
    const wrong = z.object({ kernel_image_path: z.number(), speed: z.string() });
    const official = spec?.definitions.BootSource ?? {};
    expect(differences(jsonSchemaOf(wrong), official, { path: "body", isRequest: true })).toEqual([
      "body.kernel_image_path is string, not number",
      "body.speed is unknown",
    ]);
  });
});
