// Decides what of a text from the guest may reach a person: one line, no control characters, not long.

const MAX_LENGTH = 200;

/** The text with everything that could steer a terminal replaced, cut at 200 characters. */
export const printable = (text: string): string =>
  text.slice(0, MAX_LENGTH).replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu, "\uFFFD");
