// Decides whether the running daemon gives way to this client's: only to a strictly newer one, and never for guesses.

export type Build = {
  /** Semantic version, for example 0.1.0. */
  version: string;
  /** ISO 8601 time of the build, then whatever tells builds apart; `checkout` when it was not built at all. */
  build: string;
  /** Path of the executable. */
  executable: string;
};

const numbersOf = (version: string): number[] =>
  (version.split(/[-+]/)[0] ?? "").split(".").map((part) => Number.parseInt(part, 10) || 0);

/** Negative when `one` is older than `other`, zero when they are the same release. */
export const compareVersions = (one: string, other: string): number => {
  const [left, right] = [numbersOf(one), numbersOf(other)];
  for (let index = 0; index < 3; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  // A pre-release comes before its release (semver.org §11).
  return Number(other.includes("-")) - Number(one.includes("-"));
};

const timeOf = (build: string): number => Date.parse(/^\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(build)?.[0] ?? "");

/** True when `client` is strictly newer: by version, then by build time of the very same executable. */
export const isNewer = (client: Build, daemon: Build): boolean => {
  const order = compareVersions(client.version, daemon.version);
  if (order !== 0) return order > 0;
  return client.executable === daemon.executable && timeOf(client.build) > timeOf(daemon.build);
};
