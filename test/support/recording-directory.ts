// A sandbox's cgroup directory that records every write in order and refuses what the kernel would. For tests of write orders.
import { ControlFile, createReadBuffer, type ReadBuffer } from '../../runtime/cgroup/control-file.ts'
import { SandboxDirectory } from '../../runtime/cgroup/sandbox-directory.ts'
import type { CgroupTree, Place } from '../../runtime/cgroup/tree.ts'

/** Returns an errno name to refuse the write of `value` to the file `name`, or null to let it through. */
export type Kernel = (name: string, value: string) => string | null

export class RecordingDirectory extends SandboxDirectory {
  readonly writes: string[] = []
  readonly #kernel: Kernel
  readonly #recordingBuffer: ReadBuffer = createReadBuffer()

  constructor(tree: CgroupTree, path: string, kernel: Kernel) {
    super(tree, path, createReadBuffer())
    this.#kernel = kernel
  }

  override file(place: Place, name: string, access: 'read' | 'write' | 'both'): ControlFile {
    return new RecordingFile(super.file(place, name, access).path, access, this.#recordingBuffer, (value) => {
      const refusal = this.#kernel(name, value)
      this.writes.push(`${name} ${value}${refusal === null ? '' : ` ${refusal}`}`)
      return refusal
    })
  }

  override optional(place: Place, name: string, access: 'read' | 'write' | 'both'): ControlFile | null {
    const file = this.file(place, name, access)
    return file.exists() ? file : null
  }
}

class RecordingFile extends ControlFile {
  readonly #ask: (value: string) => string | null

  constructor(
    path: string,
    access: 'read' | 'write' | 'both',
    buffer: ReadBuffer,
    ask: (value: string) => string | null,
  ) {
    super(path, access, buffer)
    this.#ask = ask
  }

  override tryWrite(value: string): string | null {
    return this.#ask(value) ?? super.tryWrite(value)
  }
}
