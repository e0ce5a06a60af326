// The directories of one sandbox's cgroup, one in each hierarchy, and how control files in them are made.
// Opens nothing by itself; whoever asks for a file closes it.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ControlFile, openIfPresent, type ReadBuffer } from './control-file.ts'
import type { CgroupTree, ControllerName, Place } from './tree.ts'

export class SandboxDirectory {
  readonly tree: CgroupTree
  /** `/thaw-<platformId>/<sandboxId>`, the same below every hierarchy's root. */
  readonly path: string
  readonly #buffer: ReadBuffer

  constructor(tree: CgroupTree, path: string, buffer: ReadBuffer) {
    this.tree = tree
    this.path = path
    this.#buffer = buffer
  }

  /** Every directory the sandbox may have, existing or not. */
  all(): string[] {
    return this.tree.hierarchies.map((root) => join(root, this.path))
  }

  /** The sandbox's directory in the v2 tree, or null when it has none there. */
  unified(): string | null {
    if (this.tree.unified === null) return null
    const directory = join(this.tree.unified, this.path)
    return existsSync(directory) ? directory : null
  }

  /** A control file that must exist; opened at first use. */
  file(place: Place, name: string, access: 'read' | 'write' | 'both'): ControlFile {
    return new ControlFile(join(place.root, this.path, name), access, this.#buffer)
  }

  /** The same at a path outside any controller, e.g. below `unified()`. */
  fileAt(directory: string, name: string, access: 'read' | 'write' | 'both'): ControlFile {
    return new ControlFile(join(directory, name), access, this.#buffer)
  }

  /** A control file that some kernels lack: opened, or null. */
  optional(place: Place, name: string, access: 'read' | 'write' | 'both'): ControlFile | null {
    return openIfPresent(join(place.root, this.path, name), access, this.#buffer)
  }

  /** Where a controller the platform requires lies. */
  require(controller: ControllerName): Place {
    const place = this.tree.place(controller)
    if (place === null) throw new Error(`unreachable: no ${controller} controller passed the host's check`)
    return place
  }
}
