// A question that is asked once however often its answer is needed, for as long as the asker lives.

/** Asks for each key the first time; a refusal is an answer, too. */
export const once = <Key, Value>(ask: (key: Key) => Promise<Value>): ((key: Key) => Promise<Value>) => {
  const asked = new Map<Key, Promise<Value>>();
  return (key) => {
    const known = asked.get(key) ?? ask(key);
    asked.set(key, known);
    return known;
  };
};
