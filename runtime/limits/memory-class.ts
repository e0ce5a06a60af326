// Memory limits grouped into classes: what is fixed when a process boots (V8's heap limit) is fixed for a class, so that a
// process may boot before anybody knows which function of the class it will run. Pure.

/** Classes between one power of two and the next. */
const STEPS = 8

/** The largest class not above `bytes`: at most an eighth below it, and the common sizes (64m, 128m, 192m, 1g) are exact. */
export function memoryClassBytes(bytes: number): number {
  const step = 2 ** Math.floor(Math.log2(bytes)) / STEPS
  return Math.floor(bytes / step) * step
}
