// Which kernel modules a guest needs and in which order they load. Reads the unpacked kernel package; loads nothing itself.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

export interface KernelModule {
  readonly name: string
  /** The module itself, uncompressed. */
  readonly bytes: Buffer
}

const FILE = /\.ko(\.xz)?$/

/** The modules `names` and all they depend on, each after what it needs. What is built into the kernel is left out.
 *  `folder` is searched with all folders in it. */
export function modulesInOrder(folder: string, names: readonly string[]): KernelModule[] {
  const files = new Map<string, string>()
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (FILE.test(file)) files.set(plain(basename(file).replace(FILE, '')), join(folder, file))
  }
  const loaded = new Map<string, KernelModule>()
  const visit = (name: string): void => {
    const file = files.get(name)
    if (file === undefined || loaded.has(name)) return
    const bytes = uncompressed(file)
    for (const needed of dependencies(bytes)) visit(needed)
    loaded.set(name, { name, bytes })
  }
  for (const name of names) visit(plain(name))
  return [...loaded.values()]
}

/** The field `depends` of the module's own description (its ELF section .modinfo). */
function dependencies(bytes: Buffer): string[] {
  const at = bytes.indexOf('\0depends=')
  if (at < 0) return []
  const from = at + '\0depends='.length
  return bytes
    .toString('latin1', from, bytes.indexOf(0, from))
    .split(',')
    .filter((name) => name !== '')
    .map(plain)
}

function uncompressed(file: string): Buffer {
  return file.endsWith('.xz') ? execFileSync('xz', ['-dc', file], { maxBuffer: 64 * 1024 ** 2 }) : readFileSync(file)
}

/** The kernel takes `-` and `_` for the same. */
function plain(name: string): string {
  return name.replaceAll('-', '_')
}
