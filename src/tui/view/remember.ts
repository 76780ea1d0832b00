// Gives a view's last answer again while everything it is made of is the same: most of a screen is as it was a second ago.

/** `partsOf` names all that `make` looks at; they are compared by identity, as nothing in a model is ever changed. */
export const remembering = <Given, Made>(
  partsOf: (given: Given) => readonly unknown[],
  make: (given: Given) => Made,
): ((given: Given) => Made) => {
  let last: { parts: readonly unknown[]; made: Made } | null = null;
  return (given) => {
    const parts = partsOf(given);
    if (last === null || !last.parts.every((part, index) => part === parts[index])) last = { parts, made: make(given) };
    return last.made;
  };
};
