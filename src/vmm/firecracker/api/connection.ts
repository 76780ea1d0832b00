// One HTTP/1.1 connection to Firecracker's unix socket: requests leave in order, answers come back in order, and all of it is bounded.
import { FirecrackerApiError, type FirecrackerApiErrorKind } from "./error.ts";

export type HttpAnswer = { status: number; body: string };

export type HttpRequest = {
  method: string;
  path: string;
  /** JSON text; null: none. */
  body: string | null;
  signal?: AbortSignal | undefined;
};

export type HttpConnection = {
  /** Errors: FirecrackerApiError (lost, misunderstood), the signal's reason. An answer that nobody waits for any more is dropped when it comes. */
  request(request: HttpRequest): Promise<HttpAnswer>;
  /** Settles, never rejects, when the connection is gone. */
  closed: Promise<void>;
  close(): void;
};

/** sun_path has 108 bytes with its final NUL (unix(7)); some runtimes cut longer paths silently. */
const SOCKET_PATH_BYTES_MAX = 107;
/** Firecracker's own limit for a request is 51200 bytes; no answer to the calls here comes near this. */
const ANSWER_BYTES_MAX = 256 * 1024;
const HEAD_END = Buffer.from("\r\n\r\n");

type Parsed = { answer: HttpAnswer; rest: Buffer } | { problem: string } | null;

/** The first answer in these bytes, what is wrong with them, or null when more are needed. Pure. */
export const parseAnswer = (bytes: Buffer): Parsed => {
  if (!"HTTP/1.".startsWith(bytes.toString("latin1", 0, 7)))
    return { problem: "what answers on its socket does not speak HTTP" };
  const headEnd = bytes.indexOf(HEAD_END);
  const size = headEnd < 0 ? bytes.length : headEnd;
  if (size > ANSWER_BYTES_MAX) return { problem: "what answers on its socket sends a header without end" };
  if (headEnd < 0) return null;
  const [statusLine = "", ...headers] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)?.[1]);
  if (!Number.isInteger(status)) return { problem: "what answers on its socket does not speak HTTP" };
  const lengths = headers.flatMap((line) => /^content-length:[ \t]*(\d{1,9})[ \t]*$/i.exec(line)?.[1] ?? []);
  // RFC 9112 §6.3: 204 has no body, whatever its headers say; Firecracker ends no body by closing the connection.
  const length = status === 204 ? 0 : Number(lengths[0] ?? 0);
  if (length > ANSWER_BYTES_MAX) return { problem: `an answer of ${length} bytes` };
  const bodyStart = headEnd + HEAD_END.length;
  if (bytes.length < bodyStart + length) return null;
  const body = bytes.toString("utf8", bodyStart, bodyStart + length);
  return { answer: { status, body }, rest: bytes.subarray(bodyStart + length) };
};

const renderRequest = ({ method, path, body }: HttpRequest): string => {
  const content =
    body === null ? "" : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n${content}\r\n${body ?? ""}`;
};

type Waiting = { call: string; resolve: (answer: HttpAnswer) => void; reject: (error: unknown) => void };

/** Connects once. Errors: FirecrackerApiError (invalid) for a path that is too long; a missing socket rejects with the system's error. */
export const connectHttp = async (path: string): Promise<HttpConnection> => {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    const detail = `the path of its socket is longer than ${SOCKET_PATH_BYTES_MAX} bytes: ${path}`;
    throw new FirecrackerApiError({ kind: "invalid", call: null, status: null, detail });
  }
  const waiting: Waiting[] = [];
  const end = Promise.withResolvers<void>();
  let pending: Buffer = Buffer.alloc(0);
  let loss: { kind: FirecrackerApiErrorKind; detail: string } | null = null;

  const errorOf = (call: string) =>
    new FirecrackerApiError({ kind: "lost", status: null, detail: "it hung up", ...loss, call });

  const finish = (kind: FirecrackerApiErrorKind, detail: string) => {
    if (loss) return;
    loss = { kind, detail };
    for (const { call, reject } of waiting.splice(0)) reject(errorOf(call));
    end.resolve();
    socket?.terminate();
  };

  const take = (chunk: Uint8Array) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length > 0 && !loss) {
      const parsed = parseAnswer(pending);
      if (!parsed) return;
      if ("problem" in parsed) return finish("misunderstood", parsed.problem);
      pending = parsed.rest;
      const request = waiting.shift();
      // "Too many open connections" is said unasked, before the connection is closed.
      if (!request)
        finish("lost", `it said ${parsed.answer.status} unasked: ${parsed.answer.body.trim().slice(0, 200)}`);
      else request.resolve(parsed.answer);
    }
  };

  let socket: Bun.Socket | undefined;
  socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_socket, chunk) => take(chunk),
      close: () => finish("lost", "it hung up"),
      error: (_socket, error) => finish("lost", error.message),
    },
  });
  if (loss) socket.terminate();

  return {
    request: async (request) => {
      const call = `${request.method} ${request.path}`;
      request.signal?.throwIfAborted();
      if (loss) throw errorOf(call);
      const answer = Promise.withResolvers<HttpAnswer>();
      const onAbort = () => answer.reject(request.signal?.reason);
      waiting.push({ call, resolve: answer.resolve, reject: answer.reject });
      request.signal?.addEventListener("abort", onAbort, { once: true });
      // Far smaller than a socket's buffer, which is empty between requests: nothing is left to be drained.
      socket?.write(renderRequest(request));
      try {
        return await answer.promise;
      } finally {
        request.signal?.removeEventListener("abort", onAbort);
      }
    },
    closed: end.promise,
    close: () => finish("lost", "the connection was closed here"),
  };
};
