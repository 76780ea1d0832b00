// Shows the frame and hears the keys: all that Ink and React are for here.
import { Box, Text, useApp, useInput, usePaste } from "ink";
import { memo, useEffect, useSyncExternalStore } from "react";
import { keysOf, pasted } from "./keys.ts";
import type { Frame, Store } from "./store.ts";

const Row = memo(({ text }: { text: string }) => <Text wrap="truncate-end">{text}</Text>);

export const Screen = ({ frame }: { frame: Frame }) => (
  <Box flexDirection="column">
    {frame.map((text, row) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: a row of the screen is its place.
      <Row key={row} text={text} />
    ))}
  </Box>
);

export type TerminalControl = ReturnType<typeof useApp>;

export const App = ({ store, onReady }: { store: Store; onReady: (control: TerminalControl) => void }) => {
  const control = useApp();
  const frame = useSyncExternalStore(store.subscribe, store.frame);
  useEffect(() => onReady(control), [control, onReady]);
  useInput((input, key) => {
    for (const press of keysOf(input, key)) store.dispatch({ type: "key", key: press });
  });
  usePaste((text) => store.dispatch({ type: "key", key: pasted(text) }));
  return <Screen frame={frame} />;
};
