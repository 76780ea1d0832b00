// The other end of the network benchmark, and its clock. usage: connect ADDRESS PORT TASK… | listen ADDRESS PORT TASK…; a TASK is send:BYTES, take:BYTES
// or echo:COUNT as the guest is told it. Each takes a connection of its own; the answer is a line of JSON, milliseconds of each.
import { createConnection, createServer, type Socket } from "node:net";

const [how = "", address = "", port = "", ...tasks] = process.argv.slice(2);
const BLOCK = Buffer.alloc(262_144, "x");

/** Counts what comes; `await inbox(n)` resolves when n more bytes have. One waits at a time. */
const openInbox = (socket: Socket) => {
  let have = 0;
  let waiting: { count: number; resolve: () => void; reject: (error: Error) => void } | null = null;
  const look = () => {
    if (waiting === null || have < waiting.count) return;
    have -= waiting.count;
    waiting.resolve();
    waiting = null;
  };
  socket.on("data", (bytes) => {
    have += bytes.length;
    look();
  });
  socket.on("error", (error) => waiting?.reject(error));
  socket.on("close", () => waiting?.reject(new Error(`it ended before ${waiting.count} bytes had come`)));
  return (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting = { count, resolve, reject };
      look();
    });
};

const given = async (socket: Socket, count: number): Promise<void> => {
  for (let left = count; left > 0; left -= BLOCK.length) {
    const block = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
    if (!socket.write(block)) await new Promise<void>((resolve) => socket.once("drain", () => resolve()));
  }
};

/** What one task took; of echoes, each. */
const measure = async (socket: Socket, task: string): Promise<number[]> => {
  socket.setNoDelay(true);
  const [verb = "", text = ""] = task.split(":");
  const count = Number(text);
  const taken = openInbox(socket);
  const beganMs = performance.now();
  socket.write(`${verb} ${count}\n`);
  if (verb === "send") await taken(count);
  else if (verb === "take") {
    const answer = taken(1);
    await given(socket, count);
    await answer;
  } else {
    const times: number[] = [];
    for (let at = 0; at < count; at++) {
      const sentMs = performance.now();
      const back = taken(1);
      socket.write("e");
      await back;
      times.push(performance.now() - sentMs);
    }
    return times;
  }
  return [performance.now() - beganMs];
};

const results: number[][] = [];
const finish = () => {
  console.log(JSON.stringify(results));
  process.exit(0);
};

if (how === "connect") {
  for (const task of tasks) {
    const socket = createConnection({ host: address, port: Number(port) });
    await new Promise<void>((resolve, reject) => socket.once("connect", () => resolve()).once("error", reject));
    results.push(await measure(socket, task));
    socket.end();
  }
  finish();
}
const server = createServer((socket) => {
  const task = tasks[results.length] ?? "";
  measure(socket, task).then((times) => {
    results.push(times);
    socket.end();
    if (results.length === tasks.length) finish();
  });
});
server.listen(Number(port), address, () => console.log("ready"));
