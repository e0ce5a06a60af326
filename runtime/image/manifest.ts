// The JSON documents of a stored image: OCI manifest, OCI configuration, index. Pure; the same parts give the same bytes.
import { createHash } from 'node:crypto'
import { RuntimeError } from '../errors.ts'

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
/** Not compressed: layers are read far more often than moved. */
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar'
/** Label of the configuration with the deployer's own document. */
const DOCUMENT_LABEL = 'thaw.config'
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** Points to a blob. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export interface Manifest {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly config: Descriptor
  /** Lowest first; the last one is the code. */
  readonly layers: readonly Descriptor[]
}

export interface Index {
  readonly schemaVersion: 2
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

export interface Blob {
  readonly digest: string
  readonly size: number
}

/** `sha256:<hex>` of bytes. */
export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Hex part of a digest. Throws RuntimeError `IMAGE_INVALID` for anything else: it becomes a file name. */
export function hexOf(digest: string): string {
  const match = /^sha256:([0-9a-f]{64})$/.exec(digest)
  if (!match)
    throw new RuntimeError('IMAGE_INVALID', `expected a digest sha256:<64 hex digits>, got ${JSON.stringify(digest)}`)
  return match[1]!
}

/** JSON with sorted keys, so that equal documents have equal bytes. Throws RuntimeError `IMAGE_INVALID` for what is no JSON. */
export function canonicalJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  )
  if (text === undefined) throw new RuntimeError('IMAGE_INVALID', 'an image configuration must be JSON')
  return text
}

/** The configuration blob: what OCI wants to know, and the deployer's document as a label. */
export function configJson(layers: readonly Blob[], document: unknown, arch: string = process.arch): string {
  return canonicalJson({
    architecture: ARCHITECTURES[arch] ?? arch,
    os: 'linux',
    config: { Labels: { [DOCUMENT_LABEL]: canonicalJson(document) } },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
  })
}

/** The deployer's document in a configuration blob. Throws RuntimeError `IMAGE_CORRUPT`. */
export function documentOf(config: string): unknown {
  const parsed = parse(config, 'image configuration') as { config?: { Labels?: Record<string, string> } }
  const label = parsed.config?.Labels?.[DOCUMENT_LABEL]
  if (label === undefined)
    throw new RuntimeError('IMAGE_CORRUPT', `image configuration without label ${DOCUMENT_LABEL}`)
  return parse(label, DOCUMENT_LABEL)
}

export function manifestJson(config: Blob, layers: readonly Blob[]): string {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, ...config },
    layers: layers.map((layer) => ({ mediaType: LAYER_TYPE, ...layer })),
  }
  return canonicalJson(manifest)
}

/** Throws RuntimeError `IMAGE_CORRUPT`. */
export function parseManifest(text: string): Manifest {
  const manifest = parse(text, 'image manifest') as Partial<Manifest>
  if (manifest.config === undefined || !Array.isArray(manifest.layers) || manifest.layers.length === 0) {
    throw new RuntimeError('IMAGE_CORRUPT', 'image manifest without configuration or layers')
  }
  return manifest as Manifest
}

export const EMPTY_INDEX: Index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [], annotations: {} }

/** Throws RuntimeError `IMAGE_CORRUPT`. */
export function parseIndex(text: string): Index {
  const index = parse(text, 'index.json') as Partial<Index>
  if (!Array.isArray(index.manifests)) throw new RuntimeError('IMAGE_CORRUPT', 'index.json without manifests')
  return { ...EMPTY_INDEX, ...index }
}

function parse(text: string, what: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
    return what === DOCUMENT_LABEL ? value : fail(what)
  } catch (error) {
    if (error instanceof RuntimeError) throw error
    throw new RuntimeError('IMAGE_CORRUPT', `${what} is not JSON`, { cause: error })
  }
}

function fail(what: string): never {
  throw new RuntimeError('IMAGE_CORRUPT', `${what} is not an object`)
}
