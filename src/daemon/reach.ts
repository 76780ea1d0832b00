// Whether a TCP port answers: tried until it does or the deadline passes.

const RETRY_MS = 20;

/** True as soon as a connection was made; it is closed at once. */
export const reach = async (options: {
  address: string;
  port: number;
  timeoutMs: number;
  signal: AbortSignal;
}): Promise<boolean> => {
  const { address, port, timeoutMs, signal } = options;
  const until = performance.now() + timeoutMs;
  while (performance.now() < until) {
    signal.throwIfAborted();
    if (await connects(address, port, until - performance.now())) return true;
    await Bun.sleep(RETRY_MS);
  }
  return false;
};

const connects = (hostname: string, port: number, leftMs: number): Promise<boolean> =>
  new Promise((resolve) => {
    let socket: { end(): void } | null = null;
    const finish = (isOpen: boolean) => {
      clearTimeout(timer);
      socket?.end();
      resolve(isOpen);
    };
    const timer = setTimeout(() => finish(false), Math.max(1, leftMs));
    Bun.connect({
      hostname,
      port,
      socket: {
        open: (opened) => {
          socket = opened;
          finish(true);
        },
        data: () => {},
        error: () => finish(false),
        connectError: () => finish(false),
      },
    }).catch(() => finish(false));
  });
