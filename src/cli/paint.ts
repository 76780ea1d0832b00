// The few colours the command line has, each by what it means; without colours the text alone must say it all.

export type Paint = Record<"strong" | "faint" | "good" | "busy" | "bad", (text: string) => string>;

const codes: Record<keyof Paint, string> = { strong: "1", faint: "2", good: "32", busy: "33", bad: "31" };

export const paintFor = (hasColor: boolean): Paint => {
  const wrap = (code: string) => (text: string) => (hasColor && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text);
  return {
    strong: wrap(codes.strong),
    faint: wrap(codes.faint),
    good: wrap(codes.good),
    busy: wrap(codes.busy),
    bad: wrap(codes.bad),
  };
};
