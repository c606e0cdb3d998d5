/** Looks up names that come from outside. */

/** Returns what an object itself has under a key: `constructor` and the like, which every object inherits, are none. */
export const ownValue = <Value>(object: Readonly<Record<string, Value>>, key: string): Value | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined;
