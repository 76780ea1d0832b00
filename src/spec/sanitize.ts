// Makes what a guest wrote safe to show: no control sequence of its reaches the terminal (FACTS §6.18).

// Strings with a terminator (OSC, DCS, APC, PM, SOS), of which none is longer than its line, then CSI, then two-character escapes, then every other control but tab and newline.
const sequences =
  /(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** `text` without control sequences and control characters; newlines and tabs stay. Carriage returns before a newline go. */
export const sanitize = (text: string): string => text.replace(sequences, "");
