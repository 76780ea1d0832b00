// A copy from one guest to another: what one says, the other hears; nothing of it touches this host's files.
import { fail } from "../spec/errors.ts";
import { COPY, parseFile } from "../spec/guest/copy.ts";
import { type CopyLine, type CopyReport, showPath } from "./copy-line.ts";

/** Errors: guest.protocol_error when a guest ends in the middle, and those of both streams. */
export const copyBetween = async (
  from: { line: CopyLine; vm: string },
  to: { line: CopyLine; vm: string },
  report: CopyReport,
): Promise<void> => {
  const cut = (vm: string) => fail("guest.protocol_error", { vm, detail: "it ended in the middle of a copy" });
  const toOther = async (): Promise<void> => {
    let last = 0;
    for (let message = await from.line.next(); message !== null; message = await from.line.next()) {
      const { tag, bytes } = message;
      last = tag;
      const file = tag === COPY.file ? parseFile(bytes) : null;
      if (file) report.onFile(showPath(file.path), file.size, 0);
      if (tag === COPY.block) report.onBytes(Math.max(0, bytes.length - 8));
      if (tag === COPY.skipped) report.onProblem(Buffer.from(bytes).toString());
      else await to.line.send(tag, bytes);
    }
    if (last !== COPY.all) throw cut(from.vm);
  };
  const toFirst = async (): Promise<void> => {
    for (let message = await to.line.next(); message !== null; message = await to.line.next()) {
      const { tag, bytes } = message;
      if (tag === COPY.failed) report.onProblem(Buffer.from(bytes).toString());
      else await from.line.send(tag, bytes);
      if (tag === COPY.done) return;
    }
    throw cut(to.vm);
  };
  await Promise.all([toOther(), toFirst()]);
};
