// Writes docs/tui.md: the keys from their table, and the screens as the terminal UI draws them. With --check it only compares.
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { bindings, type Scope } from "../src/tui/keys.ts";
import { textOf } from "../src/tui/line.ts";
import { spellKeys } from "../src/tui/view/overlays.ts";
import { renderScreen } from "../src/tui/view/screen.ts";
import { scenes } from "../test/tui/scenes.ts";

const path = join(import.meta.dir, "../docs/tui.md");

const introduction = `# The terminal UI

<!-- Written by \`bun scripts/capture-tui.ts\`; edit that, the keys in src/tui/keys.ts or the scenes in test/tui/scenes.ts. -->

\`banger tui\`, or \`banger\` alone on a terminal, shows the VMs as they are: every change appears by itself, whoever made it.
It is a client of the daemon like the other commands. Leaving it stops no VM, and when the daemon is restarted it finds it
again. Whatever ends it, the terminal is given back as it was.

- **The header** shows what of this host is used (solid), what running VMs were given beyond that (shaded) and what is free.
- **The table** is filtered as you type (\`/\`), by name, state, image, address or \`key=value\` of a label; several words must
  all fit. \`o\` sorts by the next column. Narrow terminals have fewer columns; 60×15 is enough, 140 columns show everything.
- **Marks** (\`Space\`) make what follows apply to all marked VMs at once. Stopping, restarting, killing and deleting ask first.
- **The form** (\`c\`, or \`e\` to change a VM) says at each field what is wrong as it is typed, and what fits on the host.
  What is left empty is what \`banger create\` would choose.
- **The host** (\`3\`) shows what \`banger doctor\` says, the worst first: looked at when the tab is opened, and again with \`r\`.
- **A shell** (\`s\`) and the serial console (\`t\`) get the whole screen and give it back.
- **A failure** stays at the bottom with its code, its cause and what to type next, until \`Esc\`; \`!\` shows it whole.
- **Copying** (\`y\`) goes through the terminal (OSC 52), so that it works over ssh too, where the terminal allows it.

Colours are the terminal's own first eight on its own background, and never the only sign of anything; \`NO_COLOR\` switches
them off. Without a UTF-8 locale it draws with ASCII. With the mouse, a click chooses a row, a second one opens it and the
wheel moves; \`M\` switches the mouse off, so that the terminal selects text again (most do with Shift too).
`;

const scopes: readonly (readonly [Scope, string])[] = [
  ["vms", "On VMs"],
  ["host", "On this host"],
  ["everywhere", "Everywhere"],
  ["logs", "In a log on the whole screen"],
];

const renderKeys = (scope: Scope, title: string): string => {
  const rows = bindings
    .filter((binding) => binding.scope === scope)
    .map(({ keys, help }) => `| ${spellKeys(keys).replaceAll("|", "\\|")} | ${help} |`);
  return `### ${title}\n\n| Key | What it does |\n| --- | --- |\n${rows.join("\n")}\n`;
};

/** The wide table once; everything else as on the terminal that most people have. */
const sizeOf = (name: string) => (name === "table" ? { columns: 140, rows: 14 } : { columns: 80, rows: 22 });

const screens = scenes.map(({ name, title, draw }) => {
  const lines = renderScreen(draw(sizeOf(name))).map((line) => textOf(line).trimEnd());
  return `### ${title}\n\n\`\`\`screen\n${lines.join("\n").trimEnd()}\n\`\`\`\n`;
});

const page = [
  introduction,
  "## Keys\n",
  ...scopes.map(([scope, title]) => renderKeys(scope, title)),
  "## Screens\n",
  ...screens,
].join("\n");

if (process.argv.includes("--check")) {
  if (readFileSync(path, "utf8") !== page) {
    writeSync(2, "docs/tui.md is not what the terminal UI shows: bun scripts/capture-tui.ts\n");
    process.exit(1);
  }
} else {
  writeFileSync(path, page);
  writeSync(1, `wrote ${path}\n`);
}
