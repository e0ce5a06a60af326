// The room of this host: memory that all sandboxes together may be charged with, and their number. Only arithmetic.

export class HostRoom {
  readonly memoryBytes: number
  readonly maxSandboxes: number
  /** What a sandbox with this memory limit is charged with while it runs. */
  readonly sizeOf: (memoryLimitBytes: number) => number
  #usedBytes = 0
  #sandboxes = 0
  #leavingBytes = 0
  #leaving = 0

  constructor(memoryBytes: number, maxSandboxes: number, sizeOf = (memoryLimitBytes: number) => memoryLimitBytes) {
    this.memoryBytes = memoryBytes
    this.sizeOf = sizeOf
    this.maxSandboxes = maxSandboxes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  get freeBytes(): number {
    return this.memoryBytes - this.#usedBytes
  }

  get freePlaces(): number {
    return this.maxSandboxes - this.#sandboxes
  }

  /** True when one such sandbox would not fit even into an empty host. */
  neverFits(bytes: number): boolean {
    return bytes > this.memoryBytes || this.maxSandboxes < 1
  }

  /** Takes room for a new sandbox; false when there is none. */
  takeSandbox(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.memoryBytes || this.#sandboxes >= this.maxSandboxes) return false
    this.#usedBytes += bytes
    this.#sandboxes++
    return true
  }

  /** Charges a sandbox `delta` bytes more (or less); false, and unchanged, when there is no room for more. */
  charge(delta: number): boolean {
    if (delta > 0 && this.#usedBytes + delta > this.memoryBytes) return false
    this.#usedBytes += delta
    return true
  }

  /** The sandbox is being destroyed: its room is as good as free, but not to be taken before `left`. */
  leaving(bytes: number): void {
    this.#leavingBytes += bytes
    this.#leaving++
  }

  /** The sandbox is gone and its room free. */
  left(bytes: number): void {
    this.#leavingBytes -= bytes
    this.#leaving--
    this.#usedBytes -= bytes
    this.#sandboxes--
  }

  /** What has to be evicted for `bytes` (and one place, if `newSandbox`) besides those that leave already. */
  missing(bytes: number, newSandbox: boolean): { readonly bytes: number; readonly count: number } {
    const freeBytes = this.memoryBytes - this.#usedBytes + this.#leavingBytes
    const freePlaces = this.maxSandboxes - this.#sandboxes + this.#leaving
    return { bytes: Math.max(0, bytes - freeBytes), count: newSandbox ? Math.max(0, 1 - freePlaces) : 0 }
  }
}
