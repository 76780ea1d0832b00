// What is asked for again while it is done is done again, and what is asked for together is done once.
import { expect, test } from "bun:test";
import { whenAsked } from "../../src/engine/when-asked.ts";

/** Work that begins when it is asked for and ends when it is let go. */
const open = () => {
  const begun: { seen: number; letGo: () => void }[] = [];
  let happened = 0;
  let hasBegun = Promise.withResolvers<void>();
  const ask = whenAsked({
    settleMs: 0,
    work: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      begun.push({ seen: happened, letGo: resolve });
      hasBegun.resolve();
      hasBegun = Promise.withResolvers<void>();
      return promise;
    },
  });
  const happen = () => {
    happened += 1;
    ask();
  };
  return { begun, happen, untilBegun: () => hasBegun.promise };
};

test("changes that come together are seen at once, and one that comes in the middle is not lost", async () => {
  const { begun, happen, untilBegun } = open();
  for (const _ of [1, 2, 3]) happen();
  await untilBegun();
  expect(begun.map(({ seen }) => seen)).toEqual([3]);
  happen();
  happen();
  begun[0]?.letGo();
  await untilBegun();
  expect(begun.map(({ seen }) => seen)).toEqual([3, 5]);
  begun[1]?.letGo();
  // It is at rest now, and can be asked again.
  await Bun.sleep(0);
  expect(begun).toHaveLength(2);
  happen();
  await untilBegun();
  expect(begun.map(({ seen }) => seen)).toEqual([3, 5, 6]);
  begun[2]?.letGo();
});
