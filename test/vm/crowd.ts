// Many connections at once: each says a line and stays until all have their answer. usage: crowd.ts ADDRESS PORT COUNT
export {};

const [hostname = "", port = "", count = ""] = process.argv.slice(2);
const total = Number(count);
const all = Promise.withResolvers<void>();
let open = 0;
let answered = 0;
let most = 0;

const sockets = await Promise.all(
  Array.from({ length: total }, (_, at) =>
    Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        open: (socket) => {
          most = Math.max(most, ++open);
          socket.write(`line ${at}\n`);
        },
        data: (_socket, bytes) => {
          if (bytes.toString().endsWith(`line ${at}\n`) && ++answered === total) all.resolve();
        },
        close: () => {
          open--;
          all.resolve();
        },
        error: () => all.resolve(),
      },
    }),
  ),
);
await all.promise;
console.log(`${most} open at once, ${answered} answered`);
for (const socket of sockets) socket.end();
