// When the use of host and VMs is read again: every few seconds while a VM in view runs, seldom while nothing does.

/** Use is what lies between two readings: the second follows soon. */
const PACE_MS = { first: 1000, busy: 3000, resting: 12_000 };

export type Sampling = {
  /** Whether something that is sampled runs; what begins to run is sampled at once. */
  setBusy: (isBusy: boolean) => void;
  close: () => void;
};

/** Samples at once, and from then on. */
export const openSampling = (sample: () => void): Sampling => {
  let isBusy = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const goIn = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(go, ms);
  };
  const go = (): void => {
    sample();
    goIn(isBusy ? PACE_MS.busy : PACE_MS.resting);
  };
  sample();
  goIn(PACE_MS.first);
  return {
    setBusy: (next) => {
      if (next === isBusy) return;
      isBusy = next;
      if (isBusy) go();
    },
    close: () => clearTimeout(timer),
  };
};
