// Paths of which something may be there or not: none of this throws.
import { rmdirSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname } from 'node:path'

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}

/** Folders above an absolute path, outermost first, relative to its root: `/lib/x/libc.so` → `lib`, `lib/x`. */
export function parentsOf(path: string): string[] {
  const parts = dirname(path).split('/').filter(Boolean)
  return parts.map((_part, index) => parts.slice(0, index + 1).join('/'))
}

/** SECURITY: never recursively: what is in there may be somebody's data. One with content stays. */
export function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // not empty, gone, or never made
  }
}
