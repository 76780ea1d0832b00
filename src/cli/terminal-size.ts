// How large the terminal on stdout is.
import { WriteStream } from "node:tty";

export const sizeOfTerminal = (): { rows: number; columns: number } => {
  const [columns, rows] = new WriteStream(1).getWindowSize();
  return { rows: Math.min(rows || 24, 0xffff), columns: Math.min(columns || 80, 0xffff) };
};
