/** What takes long to make is kept while works that need the same follow each other. */

/** Returns a function that makes the value of a key, and keeps those of the `most` keys that were made last. */
export function latest<Value>(most = 1): (key: string, make: () => Value) => Value {
  const kept = new Map<string, Value>();
  return (key, make) => {
    const known = kept.get(key);
    if (known !== undefined) return known;
    const [oldest] = kept.keys();
    if (kept.size >= most && oldest !== undefined) kept.delete(oldest);
    const made = make();
    kept.set(key, made);
    return made;
  };
}
