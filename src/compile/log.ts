/** Small steps that the readers of the drivers' logs share. */

/** Returns the numbers of lines such as `VGPRs: 60`, by name; the last one of a name counts. */
export const namedNumbers = (log: string): ReadonlyMap<string, number> =>
  new Map([...log.matchAll(/^([A-Z][\w /-]*): (\d+)$/gim)].map(([, name, value]) => [name!, Number(value)]));

/** Returns the first group of an expression as a number. */
export function numberIn(log: string, expression: RegExp): number | undefined {
  const found = expression.exec(log)?.[1];
  return found === undefined ? undefined : Number(found);
}
