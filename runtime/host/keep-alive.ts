// Holds the event loop open while something must be finished: the injected clock's timers never do, and a platform that
// stops has nothing else left that would.

const FAR_MS = 2 ** 30

/** Keeps the process alive until `work` has settled; returns the same outcome. */
export async function keepAlive<T>(work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => {}, FAR_MS)
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}
