// The cpuset controller of one sandbox: the CPUs it may run on. A host without the controller has none of these.
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Limits } from '../limits/limits.ts'
import type { ControlFile } from './control-file.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'
import type { Place } from './tree.ts'

export class CpusetController {
  readonly #cpus: ControlFile
  readonly #place: Place
  #inForce: string | null = null

  constructor(directory: SandboxDirectory, place: Place) {
    this.#place = place
    this.#cpus = directory.file(place, 'cpuset.cpus', 'write')
  }

  /** Writes the list when it differs. Throws RuntimeError LIMIT_WRITE, e.g. for a CPU this host does not have. */
  apply(limits: Limits): void {
    if (limits.cpusetCpus === this.#inForce) return
    this.#cpus.write(limits.cpusetCpus ?? this.#everyCpu())
    this.#inForce = limits.cpusetCpus
  }

  close(): void {
    this.#cpus.close()
  }

  /** v2 inherits when the list is empty; v1 needs the parent's list spelt out. */
  #everyCpu(): string {
    if (this.#place.version === 2) return ''
    return readFileSync(`${dirname(dirname(this.#cpus.path))}/cpuset.cpus`, 'latin1').trim()
  }
}
