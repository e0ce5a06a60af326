// What one namespace has of this host: sandboxes and memory against its quotas, calls that wait, launches under way. Only arithmetic;
// the bounds are asked for each time, so a change holds at once.
import type { Quotas } from '../registry/quotas.ts'

/** What is missing for something; all 0: it fits. */
export interface Missing {
  readonly bytes: number
  readonly count: number
}

export class NamespaceRoom {
  readonly namespace: string
  readonly #quotas: Pick<Quotas, 'boundsOf' | 'partsOf'> | null
  /** Functions known in it. */
  functions = 0
  /** Calls that wait for a sandbox. */
  waiting = 0
  /** Launches under way. */
  launching = 0
  /** Sizes of scratch disks of its sandboxes. */
  scratchBytes = 0
  /** Of these, what sandboxes have that are being destroyed. */
  leavingScratchBytes = 0
  #usedBytes = 0
  #sandboxes = 0
  #leavingBytes = 0
  #leaving = 0

  /** `quotas`: null: there is no bound. */
  constructor(namespace: string, quotas: Pick<Quotas, 'boundsOf' | 'partsOf'> | null) {
    this.namespace = namespace
    this.#quotas = quotas
  }

  get usedBytes(): number {
    return this.#usedBytes - this.#leavingBytes
  }

  /** Those that are being destroyed are not counted. */
  get sandboxes(): number {
    return this.#sandboxes - this.#leaving
  }

  /** True when it has nothing any more. */
  get isEmpty(): boolean {
    return this.functions === 0 && this.#sandboxes === 0 && this.waiting === 0
  }

  /** The quota that a single such sandbox would exceed; null: none. */
  neverFits(bytes: number, scratchBytes: number | null): 'memory' | 'sandboxes' | 'volumesBytes' | null {
    if (bytes > this.#bound('memory')) return 'memory'
    if ((scratchBytes ?? 0) > this.#bound('volumesBytes')) return 'volumesBytes'
    return this.#bound('sandboxes') < 1 ? 'sandboxes' : null
  }

  /** True when there is room now, those that leave still counted. */
  fits(bytes: number, newSandbox: boolean): boolean {
    if (this.#usedBytes + bytes > this.#bound('memory')) return false
    return !newSandbox || this.#sandboxes + 1 <= this.#bound('sandboxes')
  }

  /** Bytes by which a scratch disk more would be above what it may have of the disk; 0: it fits. */
  missingDisk(scratchBytes: number | null): number {
    if (scratchBytes === null || this.#quotas === null) return 0
    const bound = this.#quotas.boundsOf(this.namespace).volumesBytes
    return bound === null ? 0 : Math.max(0, this.#quotas.partsOf(this.namespace, 'volumesBytes') + scratchBytes - bound)
  }

  /** What has to be evicted of it besides those that leave already. */
  missing(bytes: number, newSandbox: boolean): Missing {
    const freePlaces = this.#bound('sandboxes') - this.sandboxes
    return {
      bytes: Math.max(0, bytes - (this.#bound('memory') - this.usedBytes)),
      count: newSandbox ? Math.max(0, 1 - freePlaces) : 0,
    }
  }

  /** A new sandbox. */
  take(bytes: number): void {
    this.#usedBytes += bytes
    this.#sandboxes++
  }

  /** A sandbox is charged `delta` bytes more, or less. */
  charge(delta: number): void {
    this.#usedBytes += delta
  }

  /** The sandbox is being destroyed. */
  leave(bytes: number): void {
    this.#leavingBytes += bytes
    this.#leaving++
  }

  /** It is gone. */
  left(bytes: number): void {
    this.#leavingBytes -= bytes
    this.#leaving--
    this.#usedBytes -= bytes
    this.#sandboxes--
  }

  /** Its part of the host, 0–1: of memory or of places, whichever is more. `bytes` and `count` are added. */
  shareOf(host: { readonly memoryBytes: number; readonly maxSandboxes: number }, bytes = 0, count = 0): number {
    return Math.max((this.usedBytes + bytes) / host.memoryBytes, (this.sandboxes + count) / host.maxSandboxes)
  }

  #bound(key: 'memory' | 'sandboxes' | 'volumesBytes'): number {
    return this.#quotas?.boundsOf(this.namespace)[key] ?? Number.POSITIVE_INFINITY
  }
}
