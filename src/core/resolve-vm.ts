// Decides which VM a reference means: exact name or id first, then a unique prefix; and what a typo could have meant.
import { fail } from "../spec/errors.ts";

type Named = { id: string; name: string };

/** The one record `ref` means. `exact` allows no prefixes, for verbs that cannot be taken back. */
export const resolveVm = <Record extends Named>(
  records: readonly Record[],
  ref: string,
  match: "exact" | "prefix",
): Record => {
  const exact = records.find(({ name }) => name === ref) ?? records.find(({ id }) => id === ref);
  if (exact) return exact;
  const matches =
    match === "prefix"
      ? records.filter(({ name, id }) => name.startsWith(ref) || (ref.length >= 3 && id.startsWith(ref)))
      : [];
  if (matches.length === 1 && matches[0]) return matches[0];
  if (matches.length > 1)
    throw fail("vm.ambiguous", { vm: ref, matches: matches.map(({ name }) => name).slice(0, 10) });
  throw fail("vm.not_found", {
    vm: ref,
    known: nearest(
      ref,
      records.map(({ name }) => name),
    ),
  });
};

/** Up to two of `names` within two edits of `word`, nearest first. */
export const nearest = (word: string, names: readonly string[]): string[] =>
  names
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ name, distance }) => distance <= Math.min(2, Math.floor(name.length / 2)) || name.startsWith(word))
    .sort((one, other) => one.distance - other.distance)
    .slice(0, 2)
    .map(({ name }) => name);

const editDistance = (one: string, other: string): number => {
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[other.length] ?? 0;
};
