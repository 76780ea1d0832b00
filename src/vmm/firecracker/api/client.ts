// A typed client of Firecracker's API: checks each request before it is sent and each answer before it is believed.
import { connectHttp, type HttpAnswer } from "./connection.ts";
import { FirecrackerApiError } from "./error.ts";
import { type AnswerOf, type Operation, type OperationName, operations, type RequestOf } from "./operations.ts";
import { Fault } from "./schemas.ts";

export type Call<Name extends OperationName> = {
  operation: Name;
  signal?: AbortSignal | undefined;
} & (RequestOf<Name> extends undefined ? { body?: undefined } : { body: RequestOf<Name> });

export type FirecrackerApi = {
  /** Errors: FirecrackerApiError, the signal's reason. */
  call<Name extends OperationName>(call: Call<Name>): Promise<AnswerOf<Name>>;
  /** Settles, never rejects, when Firecracker hung up or ended; also after `close`. */
  closed: Promise<void>;
  close(): void;
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Firecracker writes what is not set as null. */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === null ? [] : [[key, withoutNulls(item)]])),
  );
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

type Issue = { path: readonly PropertyKey[]; message: string };
const describeIssues = (issues: readonly Issue[]): string =>
  issues.map(({ path, message }) => (path.length > 0 ? `${path.join(".")}: ${message}` : message)).join("; ");

/** Method, path and body of a call. Errors: FirecrackerApiError (invalid). Pure. */
export const renderCall = <Name extends OperationName>(
  call: Call<Name>,
): { method: string; path: string; body: string | null } => {
  const { method, path, request }: Operation = operations[call.operation];
  if (!request) return { method, path, body: null };
  // Firecracker refuses unknown fields (serde's deny_unknown_fields); here they are found before it is asked.
  const parsed = request.strict().safeParse(call.body);
  if (!parsed.success) {
    const detail = describeIssues(parsed.error.issues);
    throw new FirecrackerApiError({ kind: "invalid", call: `${method} ${path}`, status: null, detail });
  }
  const filled = path.replace(/\{(\w+)\}/, (_, name: string) => String(parsed.data[name]));
  return { method, path: filled, body: JSON.stringify(parsed.data) };
};

const faultOf = ({ status, body }: HttpAnswer): string => {
  const fault = Fault.safeParse(parseJson(body));
  return fault.success ? fault.data.fault_message : body.trim().slice(0, 500) || `it answered with status ${status}`;
};

const readAnswer = (options: { operation: Operation; call: string; answer: HttpAnswer }): unknown => {
  const { operation, call, answer } = options;
  const { status } = answer;
  if (status >= 400) throw new FirecrackerApiError({ kind: "refused", call, status, detail: faultOf(answer) });
  const misunderstood = (detail: string) => new FirecrackerApiError({ kind: "misunderstood", call, status, detail });
  if (status !== (operation.answer ? 200 : 204)) throw misunderstood(`it answered with status ${status}`);
  if (!operation.answer) return undefined;
  const json = parseJson(answer.body);
  if (json === undefined) throw misunderstood("its answer is no JSON");
  const parsed = operation.answer.safeParse(withoutNulls(json));
  if (!parsed.success) throw misunderstood(`its answer has another form: ${describeIssues(parsed.error.issues)}`);
  return parsed.data;
};

/** Connects to the API socket at `path`, one of the few connections that Firecracker allows. A missing socket rejects with the system's error. */
export const connectFirecracker = async (path: string): Promise<FirecrackerApi> => {
  const connection = await connectHttp(path);
  return {
    call: async <Name extends OperationName>(call: Call<Name>) => {
      const request = renderCall(call);
      const answer = await connection.request({ ...request, signal: call.signal });
      const name = `${request.method} ${request.path}`;
      return readAnswer({ operation: operations[call.operation], call: name, answer }) as AnswerOf<Name>;
    },
    closed: connection.closed,
    close: connection.close,
  };
};
