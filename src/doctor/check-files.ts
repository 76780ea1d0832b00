// How banger's own things stand: the daemon, directories, records, space, what lies beside the executable, images, the clock.
import { fail } from "../spec/errors.ts";
import { check, error, ok, skipped, warning } from "./check.ts";

/** Below this nothing can be made; below the other an image cannot be built. */
const LEAST_MIB = 512;
const COMFORT_MIB = 5 * 1024;

const gib = (mib: number): string => (mib >= 1024 ? `${(mib / 1024).toFixed(1)} GiB` : `${mib} MiB`);

export const fileChecks = [
  check({
    id: "daemon",
    why: "it owns the VMs' records and does what commands ask",
    needs: ["daemon"],
    decide: ({ daemon }) => {
      if (daemon === null) return skipped("bangerd does not run; these checks were made without it");
      if ("failure" in daemon) return error(daemon.failure);
      return ok(`bangerd ${daemon.version} runs as process ${daemon.pid}`);
    },
  }),
  check({
    id: "runtime",
    why: "every VM has a shim of banger's, every image a helper and an init",
    needs: ["native"],
    decide: ({ native }) => {
      const [missing] = native.missing;
      if (missing === undefined) return ok(`complete, in ${native.directory}`);
      const slash = missing.lastIndexOf("/");
      return error(
        fail("bundle.missing", { artifact: missing.slice(slash + 1), directory: missing.slice(0, slash) || "/" }),
      );
    },
  }),
  check({
    id: "directories",
    why: "disks, records and sockets lie there, and must be nobody else's",
    needs: ["directories"],
    decide: ({ directories }) => {
      const { failures, count, runtimeDir } = directories;
      if (failures.length === 0) return ok(`${count} directories are this user's alone; sockets in ${runtimeDir}`);
      return failures.map((failure) => {
        const path = "path" in failure.data ? failure.data.path : "";
        return {
          ...error(failure, { fix: `ls -ld ${path}   # give it to this user, or set the XDG_* variables elsewhere` }),
        };
      });
    },
  }),
  check({
    id: "database",
    why: "it holds what is known of every VM",
    needs: ["database"],
    decide: ({ database }) => {
      if (!database.exists) return skipped("there are no records yet");
      if (database.failure)
        return error(database.failure, database.failure.fix === null ? { fix: `ls -l ${database.path}` } : {});
      return ok(`${database.path} is whole`);
    },
  }),
  check({
    id: "disk",
    why: "disks of VMs grow as they are written, up to their size",
    needs: ["disk"],
    decide: ({ disk }) => {
      const { path, freeMiB } = disk;
      if (freeMiB < LEAST_MIB)
        return error(fail("host.no_space", { path, neededMiB: LEAST_MIB, freeMiB: Math.floor(freeMiB) }), {
          fix: "banger image prune   # or free some space",
        });
      const free = `${gib(freeMiB)} are free at ${path}`;
      return freeMiB < COMFORT_MIB ? warning(free, { fix: "banger image prune   # or free some space" }) : ok(free);
    },
  }),
  check({
    id: "reflink",
    why: "a file system that shares blocks makes the disk of a new VM at once and without space",
    needs: ["clone"],
    decide: ({ clone }) => {
      if (clone.method === null) return skipped(`${clone.path} has no space to try it`);
      return ok(
        clone.method === "reflink"
          ? `${clone.path} shares blocks: new disks cost nothing`
          : `${clone.path} shares no blocks: what an image holds is copied for each new VM; btrfs and XFS would share it`,
      );
    },
  }),
  check({
    id: "images",
    why: "VMs are made from images, and need the guest helper inside to report that they are ready",
    needs: ["images"],
    decide: ({ images }) => {
      if (images.length === 0) return warning("there is no image yet", { fix: "banger image build" });
      const bad = images.filter(({ failure }) => failure !== null);
      const good = images.filter(({ failure }) => failure === null);
      return [
        ...(good.length > 0
          ? [ok(good.map(({ name, helperVersion }) => `${name} (helper ${helperVersion})`).join(", "))]
          : []),
        ...bad.map(({ name, failure }) => ({ ...warning(failure ?? name), id: `images:${name}` })),
      ];
    },
  }),
  check({
    id: "kernel",
    why: "banger's own kernel needs neither an initramfs nor a disk of modules",
    needs: ["guestKernel"],
    decide: ({ guestKernel }) => {
      if ("release" in guestKernel) return ok(`the bundle has banger's own, ${guestKernel.release}`);
      const { absence, error: failure } = guestKernel;
      // Nothing is wrong without it.
      return failure.code === "bundle.missing"
        ? ok(`VMs boot the kernels of their images; banger's own is not there: ${absence}`)
        : warning(failure);
    },
  }),
  check({
    id: "time",
    why: "guests take their clock from this host",
    needs: ["clock"],
    decide: ({ clock }) => {
      if (clock.synchronised === null) return skipped("nothing here says whether the clock is kept by the network");
      return clock.synchronised
        ? ok("the clock is kept by the network")
        : warning("the clock is not kept by the network", { repairs: [["sudo", "timedatectl", "set-ntp", "true"]] });
    },
  }),
  check({
    id: "guest-clocks",
    why: "certificates, tokens and builds in a guest go wrong when its clock does",
    needs: ["guestClocks"],
    decide: ({ guestClocks }) => {
      if (guestClocks.length === 0) return skipped("no running VM's clock was measured yet");
      const off = guestClocks.filter(({ isOff }) => isOff);
      if (off.length === 0) return ok(`${guestClocks.map(({ vm }) => vm).join(", ")} have the time of this host`);
      return off.map(({ vm, sentence, fix }) => ({
        ...warning(sentence, fix === null ? {} : { fix }),
        id: `guest-clocks:${vm}`,
      }));
    },
  }),
];
