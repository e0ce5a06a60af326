// What images of a namespace take of the disk, against its quota `imagesBytes`: each blob once, however many of its versions have it.
// Counted as versions come and go, from what the image store knows; looks at one function for each change.
import type { ImageStore } from '../../runtime/api.ts'
import { type Registry, RegistryError } from './api.ts'
import type { Quotas } from './quotas.ts'

type Images = Pick<ImageStore, 'bytesOf'>
type Blobs = ReturnType<Images['bytesOf']>

/** Of one namespace. */
class Held {
  bytes = 0
  /** Images of a function, by its name. */
  readonly functions = new Map<string, ReadonlySet<string>>()
  readonly #images = new Map<string, { readonly blobs: Blobs; uses: number }>()
  readonly #blobs = new Map<string, { readonly bytes: number; uses: number }>()

  add(image: string, blobsOf: () => Blobs): void {
    const known = this.#images.get(image)
    if (known !== undefined) {
      known.uses++
      return
    }
    const blobs = blobsOf()
    this.#images.set(image, { blobs, uses: 1 })
    for (const { blob, bytes } of blobs) {
      const before = this.#blobs.get(blob)
      if (before === undefined) {
        this.#blobs.set(blob, { bytes, uses: 1 })
        this.bytes += bytes
      } else before.uses++
    }
  }

  remove(image: string): void {
    const known = this.#images.get(image)
    if (known === undefined || --known.uses > 0) return
    this.#images.delete(image)
    for (const { blob } of known.blobs) {
      const before = this.#blobs.get(blob)!
      if (--before.uses > 0) continue
      this.#blobs.delete(blob)
      this.bytes -= before.bytes
    }
  }
}

export interface ImageQuotaOptions {
  readonly registry: Pick<Registry, 'list' | 'get' | 'onChange'>
  readonly images: Images
  /** null: any bytes. */
  readonly quotas: Quotas | null
}

export class ImageQuota {
  readonly #options: ImageQuotaOptions
  /** Of namespaces that were asked for since all may have changed. */
  readonly #namespaces = new Map<string, Held>()
  /** Of deploys under way, whose versions the registry does not know yet. */
  readonly #deploying = new Map<string, string[]>()

  /** Reports what is in use. */
  constructor(options: ImageQuotaOptions) {
    this.#options = options
    const { registry, quotas } = options
    quotas?.report('imagesBytes', (namespace) => this.#of(namespace).bytes)
    registry.onChange((change) => {
      if (change === null) this.#namespaces.clear()
      else this.#changed(change.namespace, change.name)
    })
  }

  /** Counts an image that is stored already and becomes a version's, until `release`. Throws QuotaExceeded. */
  hold(namespace: string, image: string): { release(): void } {
    const held = this.#of(namespace)
    const before = held.bytes
    this.#add(held, image)
    try {
      this.#options.quotas?.expect(namespace, 'imagesBytes', before, held.bytes - before)
    } catch (error) {
      held.remove(image)
      throw error
    }
    this.#deploying.set(namespace, [...(this.#deploying.get(namespace) ?? []), image])
    return { release: () => this.#release(namespace, image) }
  }

  #release(namespace: string, image: string): void {
    const deploying = this.#deploying.get(namespace) ?? []
    const at = deploying.indexOf(image)
    const left = deploying.filter((_, index) => index !== at)
    if (left.length > 0) this.#deploying.set(namespace, left)
    else this.#deploying.delete(namespace)
    this.#namespaces.get(namespace)?.remove(image)
  }

  #of(namespace: string): Held {
    const known = this.#namespaces.get(namespace)
    if (known !== undefined) return known
    const held = new Held()
    for (const { name, versions } of this.#options.registry.list(namespace)) this.#put(held, name, imagesOf(versions))
    for (const image of this.#deploying.get(namespace) ?? []) this.#add(held, image)
    this.#namespaces.set(namespace, held)
    return held
  }

  #changed(namespace: string, name: string): void {
    const held = this.#namespaces.get(namespace)
    if (held !== undefined) this.#put(held, name, imagesOf(this.#versionsOf(namespace, name)))
  }

  #put(held: Held, name: string, images: ReadonlySet<string>): void {
    const before = held.functions.get(name)
    for (const image of images) if (before?.has(image) !== true) this.#add(held, image)
    for (const image of before ?? []) if (!images.has(image)) held.remove(image)
    if (images.size > 0) held.functions.set(name, images)
    else held.functions.delete(name)
  }

  #add(held: Held, image: string): void {
    held.add(image, () => this.#options.images.bytesOf(image))
  }

  #versionsOf(namespace: string, name: string): readonly { readonly image: string }[] {
    try {
      return this.#options.registry.get(namespace, name).versions
    } catch (error) {
      if (error instanceof RegistryError) return []
      throw error
    }
  }
}

function imagesOf(versions: readonly { readonly image: string }[]): ReadonlySet<string> {
  return new Set(versions.map(({ image }) => image))
}
