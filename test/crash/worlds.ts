// The modelled hosts of a test file and the daemons on them, each ended when its test is over.
import type { FakeWorld } from "../fakes/fake-host.ts";
import { type Daemon, makeWorld, startDaemon } from "./harness.ts";

export const createWorlds = () => {
  const worlds: FakeWorld[] = [];
  const daemons: Daemon[] = [];

  const open = (options: Parameters<typeof makeWorld>[0] = {}): FakeWorld => {
    const world = makeWorld(options);
    worlds.push(world);
    return world;
  };
  const serve = async (world: FakeWorld): Promise<Daemon> => {
    const daemon = await startDaemon(world);
    daemons.push(daemon);
    return daemon;
  };
  const stopDaemons = (): void => {
    for (const daemon of daemons.splice(0)) daemon.stop();
  };
  return {
    open,
    serve,
    stopDaemons,
    begin: async (options: Parameters<typeof makeWorld>[0] = {}): Promise<{ world: FakeWorld; daemon: Daemon }> => {
      const world = open(options);
      return { world, daemon: await serve(world) };
    },
    /** The next daemon on the same files. */
    restart: async (world: FakeWorld): Promise<Daemon> => {
      stopDaemons();
      world.restartDaemon();
      return await serve(world);
    },
    /** For afterEach. */
    close: (): void => {
      stopDaemons();
      for (const world of worlds.splice(0)) world.close();
    },
  };
};
