// Numbers of answers by RCODE, as the server and the program in front of it count them.

export type Counts = Readonly<Record<number, number>>;

export const addCounts = (one: Counts, other: Counts): Record<number, number> => {
  const sum: Record<number, number> = { ...one };
  for (const [rcode, count] of Object.entries(other)) sum[Number(rcode)] = (sum[Number(rcode)] ?? 0) + count;
  return sum;
};

export const sumOf = (counts: Counts): number => Object.values(counts).reduce((sum, count) => sum + count, 0);
