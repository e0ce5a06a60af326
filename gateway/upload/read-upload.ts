// Owns taking the tar of a deploy apart: the manifest, the bundle and its map in memory, add-on packages spooled to a file under
// the state directory. What it made is removed when it fails; afterwards the spooled file is the caller's.
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { WorkerError } from '../../worker/api.ts'
import { JsonBoundError, parseBoundedJson } from '../../worker/registry/bounded-json.ts'
import { UPLOAD_BYTES } from '../control-gate.ts'
import { RequestBody } from '../invocation/request-body.ts'
import { BLOCK_BYTES, type Member, TarReader } from './tar-reader.ts'

export interface Upload {
  readonly manifest: unknown
  readonly source: Buffer
  readonly sourceMap: Buffer | null
  /** Path of a temporary tar with `node_modules/…` and `files/…`, or null. */
  readonly addonTar: string | null
}

const UPLOAD_NAME = /^upload-[0-9a-f-]{36}\.tar$/
const MIB = 1024 ** 2
/** What is gathered for one write. */
const SPOOL_BYTES = 256 * 1024
/** Members of the root and the bytes each may have. */
const ROOT_MEMBERS: ReadonlyMap<string, number> = new Map([
  ['fn.json', MIB],
  ['index.cjs', 64 * MIB],
  // As the deployer takes them; a smaller bundle's map has a lower bound there.
  ['index.cjs.map', 64 * MIB],
])

/** Folders of what ships with the code: packages, and files. */
const BESIDE = ['node_modules', 'files']

/** Reads an upload. `expectRoom` throws where nothing more may be written. Throws WorkerError DEPLOY_INVALID | DISK_FULL, GatewayError BODY_TOO_LARGE | BODY_ABORTED. */
export async function readUpload(
  incoming: IncomingMessage,
  stateDir: string,
  expectRoom: () => void = () => {},
): Promise<Upload> {
  const reader = new TarReader(new RequestBody(incoming, UPLOAD_BYTES))
  const spool = new AddonSpool(join(stateDir, 'tmp'), expectRoom)
  try {
    const parts = await readMembers(reader, spool)
    const { manifest, source } = parts
    if (manifest === null || source === null)
      throw invalid(`the tar has no ${manifest === null ? 'fn.json' : 'index.cjs'}`)
    await reader.drain()
    return {
      manifest: parseManifest(manifest),
      source,
      sourceMap: parts.sourceMap,
      addonTar: await spool.finish(),
    }
  } catch (error) {
    await spool.discard()
    throw isDiskFull(error) ? new WorkerError('DISK_FULL', 'no room to take the upload', { cause: error }) : error
  } finally {
    await reader.close()
  }
}

/** Removes what uploads of a platform that was killed left behind. */
export async function removeStaleUploads(stateDir: string): Promise<void> {
  const folder = join(stateDir, 'tmp')
  const names = await readdir(folder).catch(() => [])
  for (const name of names) if (UPLOAD_NAME.test(name)) await rm(join(folder, name), { force: true })
}

async function readMembers(reader: TarReader, spool: AddonSpool) {
  const found = new Map<string, Buffer>()
  for (let member = await reader.next(); member !== null; member = await reader.next()) {
    const name = member.name.replace(/^\.\//, '')
    const highest = ROOT_MEMBERS.get(name)
    if (highest !== undefined && member.type === 'file') {
      if (found.has(name)) throw invalid(`${name} is there twice`)
      found.set(name, await reader.body(name, highest))
    } else if (BESIDE.some((folder) => member.name.startsWith(`${folder}/`))) {
      checkLink(member)
      await spool.add(member, reader)
    } else if (name !== '' && !(member.type === 'directory' && BESIDE.includes(name)))
      throw invalid(
        `${JSON.stringify(member.name.slice(0, 200))} does not belong here; expected ${[...ROOT_MEMBERS.keys()].join(', ')}, node_modules/… and files/…`,
      )
  }
  return {
    manifest: found.get('fn.json') ?? null,
    source: found.get('index.cjs') ?? null,
    sourceMap: found.get('index.cjs.map') ?? null,
  }
}

/** A symbolic link must lead to somewhere below the folder it lies in. */
function checkLink(member: Member): void {
  if (member.type !== 'symlink') return
  const folder = member.name.split('/').slice(0, -1)
  const [root] = folder
  for (const part of member.linkName.split('/')) {
    if (part === '..') folder.pop()
    else if (part !== '.' && part !== '') folder.push(part)
  }
  if (member.linkName.startsWith('/') || member.linkName === '' || folder[0] !== root)
    throw invalid(`${JSON.stringify(member.name.slice(0, 200))} links to outside ${root}/`)
}

function parseManifest(bytes: Buffer): unknown {
  try {
    return parseBoundedJson(bytes.toString('utf8'))
  } catch (error) {
    const { message } = error as Error
    const why = error instanceof JsonBoundError ? `fn.json: ${message}` : `fn.json is not JSON: ${message}`
    throw new WorkerError('DEPLOY_INVALID', why, { cause: error })
  }
}

function invalid(message: string): WorkerError {
  return new WorkerError('DEPLOY_INVALID', message)
}

function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: string } | null)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** A temporary tar that appears with its first member. */
class AddonSpool {
  readonly #folder: string
  #path: string | null = null
  #file: FileHandle | null = null
  #pending: Buffer[] = []
  #pendingBytes = 0

  readonly #expectRoom: () => void

  constructor(folder: string, expectRoom: () => void) {
    this.#folder = folder
    this.#expectRoom = expectRoom
  }

  async add(member: Member, reader: TarReader): Promise<void> {
    this.#file ??= await this.#open()
    await this.#write(member.headerBlocks)
    await reader.copy((chunk) => this.#write(chunk))
    const rest = member.size % BLOCK_BYTES
    if (rest > 0) await this.#write(Buffer.alloc(BLOCK_BYTES - rest))
  }

  /** Ends the tar; its path, or null when nothing was added. */
  async finish(): Promise<string | null> {
    if (this.#file !== null) {
      this.#pending.push(Buffer.alloc(2 * BLOCK_BYTES))
      await this.#flush(this.#file)
    }
    await this.#file?.close()
    this.#file = null
    return this.#path
  }

  async discard(): Promise<void> {
    await this.#file?.close()
    this.#file = null
    if (this.#path !== null) await rm(this.#path, { force: true })
  }

  /** Packages are thousands of small members: a write for each would cost more than all else. */
  async #write(bytes: Buffer): Promise<void> {
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    if (this.#pendingBytes >= SPOOL_BYTES) await this.#flush(this.#file!)
  }

  async #flush(file: FileHandle): Promise<void> {
    this.#expectRoom()
    const bytes = Buffer.concat(this.#pending)
    this.#pending = []
    this.#pendingBytes = 0
    await file.writeFile(bytes)
  }

  async #open(): Promise<FileHandle> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    this.#path = join(this.#folder, `upload-${randomUUID()}.tar`)
    return await open(this.#path, 'wx', 0o600)
  }
}
