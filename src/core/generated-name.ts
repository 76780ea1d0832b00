// Makes up names for VMs that were given none: short, easy to say, and not taken.

const first =
  "amber brisk calm clear coral crisp dapper eager early fair fleet fresh gentle glad golden green handy happy honest humble jolly keen kind lively lucky mellow merry mild misty modest neat nimble noble plain polite proud quick quiet ready rosy royal rustic sharp silent silver simple smart snug solid steady still sunny swift tidy tiny true vivid warm wise witty".split(
    " ",
  );
const second =
  "acorn alder apple aspen badger beaver birch bison brook canary cedar clover cobra comet coyote crane creek daisy dolphin eagle elm falcon fern finch fox gecko heron ibis jay kestrel koala lark lemur lily linden lotus lynx maple marten meadow mole moose newt oak olive orca osprey otter owl panda pebble pine plover poppy puffin quail raven reed robin rowan salmon seal shrew sorrel sparrow stork swan tapir tern thrush tulip viper walnut weasel willow wren yak".split(
    " ",
  );

/** A name like `brisk-otter`; a number follows when `random` keeps finding taken ones. `random` gives 0 ≤ x < 1. */
export const generateName = (taken: ReadonlySet<string>, random: () => number): string => {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)] ?? "vm";
  for (let attempt = 0; attempt < 20; attempt++) {
    const name = `${pick(first)}-${pick(second)}`;
    if (!taken.has(name)) return name;
  }
  const base = `${pick(first)}-${pick(second)}`;
  let number = 2;
  while (taken.has(`${base}-${number}`)) number++;
  return `${base}-${number}`;
};
