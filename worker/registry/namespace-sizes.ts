// What the registry keeps of a namespace, counted as versions come and go: bytes of its versions, and names of functions that are no more.
// All of it lies in the memory of every process and in Redis, so it has a bound. Pure.
import type { FunctionVersion } from '../api.ts'
import { type StoredFunction, versionBytes } from './entries.ts'

export interface NamespaceSize {
  readonly versionBytes: number
  readonly removedNames: number
}

const NOTHING: NamespaceSize = { versionBytes: 0, removedNames: 0 }

export class NamespaceSizes {
  readonly #sizes = new Map<string, NamespaceSize>()

  of(namespace: string): NamespaceSize {
    return this.#sizes.get(namespace) ?? NOTHING
  }

  change(
    namespace: string,
    versions: { readonly added: readonly FunctionVersion[]; readonly dropped: readonly FunctionVersion[] },
    removedNamesMore: number,
  ): void {
    const before = this.of(namespace)
    this.#sizes.set(namespace, {
      versionBytes: before.versionBytes + sumOf(versions.added) - sumOf(versions.dropped),
      removedNames: before.removedNames + removedNamesMore,
    })
  }
}

/** A removed function leaves its name with its last number behind. */
export function removedNames(stored: StoredFunction | undefined): number {
  return stored?.removed === true ? 1 : 0
}

function sumOf(versions: readonly FunctionVersion[]): number {
  return versions.reduce((sum, version) => sum + versionBytes(version), 0)
}
