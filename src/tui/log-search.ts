// Finds what is searched in a log: letters of either case, anywhere in a line.

/** Indices of the lines that hold `query`; none for an empty one. */
export const hitsOf = (lines: readonly string[], query: string): readonly number[] => {
  const wanted = query.toLowerCase();
  if (wanted === "") return [];
  return lines.flatMap((line, index) => (line.toLowerCase().includes(wanted) ? [index] : []));
};

/** `line` in pieces, the hits marked. */
export const markHits = (line: string, query: string): readonly { text: string; isHit: boolean }[] => {
  const wanted = query.toLowerCase();
  if (wanted === "") return [{ text: line, isHit: false }];
  const lower = line.toLowerCase();
  // Lower case can be longer than what it comes from, and then places do not compare.
  if (lower.length !== line.length) return [{ text: line, isHit: lower.includes(wanted) }];
  const pieces: { text: string; isHit: boolean }[] = [];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    if (at > from) pieces.push({ text: line.slice(from, at), isHit: false });
    pieces.push({ text: line.slice(at, at + wanted.length), isHit: true });
    from = at + wanted.length;
  }
  if (from < line.length) pieces.push({ text: line.slice(from), isHit: false });
  return pieces;
};
