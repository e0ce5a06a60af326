// Whether the log files of a function come to their bound and turn over there: looks at the files, by inode, again and again.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** As DEFAULT_LOG_FILE of worker/logs has them, and what one batch of lines may go beyond. */
const FILES = 4
const FILE_MIB = 8
const BATCH_MIB = 4
const MIB = 1024 ** 2

export interface LogFileLook {
  readonly function: string
  /** 0: the one written to. */
  readonly index: number
  readonly bytes: number
  readonly inode: number
}

export class RotationWatch {
  readonly #oldest = new Map<string, Set<number>>()
  readonly #mostBytes = new Map<string, number>()
  readonly #troubles = new Set<string>()

  look(files: readonly LogFileLook[]): void {
    const bytes = new Map<string, number>()
    for (const file of files) {
      bytes.set(file.function, (bytes.get(file.function) ?? 0) + file.bytes)
      if (file.index >= FILES) this.#troubles.add(`${file.function} has a log file number ${file.index + 1}`)
      if (file.index !== FILES - 1) continue
      this.#oldest.set(file.function, (this.#oldest.get(file.function) ?? new Set()).add(file.inode))
    }
    for (const [name, sum] of bytes) this.#mostBytes.set(name, Math.max(sum, this.#mostBytes.get(name) ?? 0))
  }

  /** Functions with all their files whose oldest one was seen to go. */
  get turnedOver(): string[] {
    return [...this.#oldest].filter(([, inodes]) => inodes.size > 1).map(([name]) => name)
  }

  get troubles(): string[] {
    const bound = FILES * (FILE_MIB + BATCH_MIB)
    const large = [...this.#mostBytes].filter(([, bytes]) => bytes > bound * MIB)
    return [
      ...this.#troubles,
      ...large.map(([name, bytes]) => `the logs of ${name} took ${(bytes / MIB).toFixed(1)} MiB, ${bound} are allowed`),
    ]
  }

  lines(): string[] {
    const largest = [...this.#mostBytes].sort((one, other) => other[1] - one[1]).slice(0, 3)
    const sizes = largest.map(([name, bytes]) => `${name} ${(bytes / MIB).toFixed(1)} MiB`).join(', ')
    const turned = this.turnedOver
    const seen = turned.length > 0 ? `seen (${turned.join(', ')})` : 'NOT SEEN'
    return [
      `log rotation: ${seen}; the largest were ${sizes || 'none'}; ${FILES} files of ${FILE_MIB} MiB each are kept`,
    ]
  }
}

/** All log files below a state directory. Empty where there is none. */
export function logFilesOf(stateDir: string): LogFileLook[] {
  const root = join(stateDir, 'logs')
  const entries = namesIn(root).flatMap((namespace) =>
    namesIn(join(root, namespace)).map((name) => join(namespace, name)),
  )
  return entries.flatMap((name) => {
    const [, owner, index] = /([^/]+)\.jsonl(?:\.(\d+))?$/.exec(name) ?? []
    const found = statSync(join(root, name), { throwIfNoEntry: false })
    if (owner === undefined || found === undefined) return []
    return [{ function: owner, index: Number(index ?? 0), bytes: found.size, inode: found.ino }]
  })
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
