// What answers in the lab: a web server that serves a directory and tells who asked, a name server, or a lone greeter.
import { join, normalize } from "node:path";
import { decode, encode } from "dns-packet";
import { framed } from "../../src/dns/tcp-listener.ts";

/** Every name under lab.example is `address`; there is nothing else in this world. */
const answer = (query: Uint8Array, address: string): Uint8Array => {
  const { id, questions = [] } = decode(Buffer.from(query));
  const [question] = questions;
  const isKnown = question?.name.toLowerCase().endsWith(".lab.example") ?? false;
  const base = { type: "response" as const, id: id ?? 0, questions };
  if (!isKnown || !question) return encode({ ...base, flags: 0x8183 });
  const answers = question.type === "A" ? [{ type: "A" as const, name: question.name, ttl: 1, data: address }] : [];
  return encode({ ...base, flags: 0x8180, answers });
};

const serveNames = async (listen: string, address: string): Promise<void> => {
  await Bun.udpSocket({
    hostname: listen,
    port: 53,
    socket: {
      data: (socket, bytes, port, from) => {
        socket.send(answer(new Uint8Array(bytes), address), port, from);
      },
    },
  });
  Bun.listen({
    hostname: listen,
    port: 53,
    socket: { data: (socket, bytes) => void socket.write(framed(answer(new Uint8Array(bytes.subarray(2)), address))) },
  });
};

const serveFiles = (hostname: string, directory: string): void => {
  Bun.serve({
    hostname,
    port: 80,
    fetch: (request, server) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/whoami") return new Response(server.requestIP(request)?.address ?? "nobody");
      const file = Bun.file(join(directory, normalize(pathname)));
      return file.exists().then((exists) => (exists ? new Response(file) : new Response("none", { status: 404 })));
    },
  });
};

const greet = (hostname: string, port: number): void => {
  Bun.listen({
    hostname,
    port,
    socket: { open: (socket) => void socket.end("hello from the host\n"), data: () => {} },
  });
};

const [kind, first = "", second = ""] = process.argv.slice(2);
if (kind === "names") await serveNames(first, second);
if (kind === "files") serveFiles(first, second);
if (kind === "greeter") greet(first, Number(second));
console.log("ready");
