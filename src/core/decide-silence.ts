// Decides what it means that the helper in a guest does not answer: it boots, its helper is silent, or all of it stands still.

export type SilenceFacts = {
  /** The start is under way, or the guest was not waited for. */
  isStarting: boolean;
  /** The helper has spoken in this run of the VM. */
  hasSpoken: boolean;
  /** How long it has been running; null before it does. */
  upMs: number | null;
  /** How long a boot may take. */
  readyMs: number;
  /** The guest's kernel takes a connection. */
  isReached: boolean;
  /** The VMM's process is stopped, so nothing in the guest can move. */
  isVmmStopped: boolean;
};

export type Silence = "booting" | "silent" | "frozen";

export const decideSilence = (facts: SilenceFacts): Silence => {
  if (facts.isVmmStopped) return "frozen";
  const isYoung = facts.isStarting || facts.upMs === null || facts.upMs < facts.readyMs;
  if (!facts.hasSpoken && isYoung) return "booting";
  return facts.isReached ? "silent" : "frozen";
};
