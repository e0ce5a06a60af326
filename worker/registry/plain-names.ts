// Names that an object takes for something of its own: `constructor`, `__proto__`, `toString` and the like. Pure.

const TAKEN: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype))

/** True for a name that every object has already: as a key of what people send it would find that. */
export function isTakenByObjects(name: string): boolean {
  return TAKEN.has(name)
}
