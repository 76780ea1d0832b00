// Sends and answers single datagrams and connections inside a namespace; argv says which, stdout what came of it.

export {};

const [mode = "", address = "", port = "0", source] = process.argv.slice(2);
const WAIT_MS = 400;

const say = (text: string) => process.stdout.write(`${text}\n`);
const finish = (text: string, code: number) => {
  say(text);
  process.exit(code);
};

if (mode === "serve") {
  const socket = await Bun.udpSocket({
    hostname: address,
    port: Number(port),
    socket: {
      data(own, bytes, fromPort, from) {
        own.send(`${from} asked ${bytes.toString()}`, fromPort, from);
        say(`got ${bytes.toString()} from ${from}`);
      },
    },
  });
  Bun.listen({
    hostname: address,
    port: Number(port),
    socket: { data: (peer, bytes) => void peer.end(`${peer.remoteAddress} asked ${bytes.toString()}`) },
  });
  say(`ready ${socket.port}`);
} else if (mode === "ask-udp") {
  const socket = await Bun.udpSocket({
    ...(source ? { hostname: source } : {}),
    socket: { data: (_, bytes) => finish(bytes.toString(), 0) },
  });
  socket.send("udp", Number(port), address);
  setTimeout(() => finish("silence", 1), WAIT_MS);
} else if (mode === "ask-tcp") {
  setTimeout(() => finish("silence", 1), WAIT_MS);
  await Bun.connect({
    hostname: address,
    port: Number(port),
    socket: { open: (peer) => void peer.write("tcp"), data: (_, bytes) => finish(bytes.toString(), 0) },
  }).catch((error) => finish(String(error), 1));
} else if (mode === "flood") {
  // From a source that is not ours, as fast as it goes, until the other end says enough by closing our stdin.
  const socket = await Bun.udpSocket({ ...(source ? { hostname: source } : {}) });
  let isOver = false;
  let sent = 0;
  process.stdin.on("end", () => {
    isOver = true;
  });
  process.stdin.resume();
  say("ready");
  while (!isOver) {
    for (let index = 0; index < 20; index += 1) sent += socket.send("flood", Number(port), address) ? 1 : 0;
    await Bun.sleep(1);
  }
  finish(`sent ${sent}`, 0);
}
