// What the registry's versions use, counted: images, and by function the secrets, networks and volumes they name. Kept up with each
// version that comes or goes, so that no question looks through all of them. Pure.
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import { networkNameOf } from './network-text.ts'

export type UseKind = 'secret' | 'network' | 'volume'

export class Uses {
  readonly #images = new Map<string, number>()
  /** `<namespace>/<kind>/<name>` → function → its versions that name the thing. */
  readonly #things = new Map<string, Map<string, number>>()

  /** All images in use. */
  images(): Iterable<string> {
    return this.#images.keys()
  }

  hasImage(image: string): boolean {
    return this.#images.has(image)
  }

  /** Names of the namespace's functions with a version that uses the thing, in order. */
  users(namespace: string, kind: UseKind, name: string): string[] {
    return [...(this.#things.get(`${namespace}/${kind}/${name}`)?.keys() ?? [])].sort()
  }

  add({ namespace, name, image, config }: FunctionVersion): void {
    count(this.#images, image, 1)
    for (const thing of thingsOf(config)) {
      const key = `${namespace}/${thing}`
      const functions = this.#things.get(key) ?? new Map<string, number>()
      this.#things.set(key, functions)
      count(functions, name, 1)
    }
  }

  remove({ namespace, name, image, config }: FunctionVersion): void {
    count(this.#images, image, -1)
    for (const thing of thingsOf(config)) {
      const key = `${namespace}/${thing}`
      const functions = this.#things.get(key)
      if (functions === undefined) continue
      count(functions, name, -1)
      if (functions.size === 0) this.#things.delete(key)
    }
  }
}

function count(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const uses = (counts.get(key) ?? 0) + by
  if (uses > 0) counts.set(key, uses)
  else counts.delete(key)
}

/** Each once, however often it is named. */
function thingsOf({ secrets = [], volumes = [], network }: FunctionConfig): Set<string> {
  const things = new Set(secrets.map((name) => `secret/${name}`))
  for (const volume of volumes) if (volume.kind === 'named') things.add(`volume/${volume.name}`)
  const networkName = networkNameOf(network)
  if (networkName !== null) things.add(`network/${networkName}`)
  return things
}
