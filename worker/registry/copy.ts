// The registry's copy in the state directory: read to rebuild an emptied Redis or to start without one. A change costs one line,
// however many functions there are (text-map-file.ts). Keys: `<ns>/<name>` → StoredHead, `<ns>/<name>@<number>` → FunctionVersion.
import { join } from 'node:path'
import { type ImageStore, type Logger, type TextChange, TextMapFile } from '../../runtime/api.ts'
import type { FunctionVersion } from '../api.ts'
import { documentsForm } from './documents-form.ts'
import { addTo, assemble, type Change, headOf, type StoredFunction, type StoredHead } from './entries.ts'

const FILE = 'registry.json'
/** Where it lay in the index of images before it had a file of its own. */
const ANNOTATION = 'thaw.registry'

export interface RegistryCopyContent {
  readonly epoch: number
  readonly functions: ReadonlyMap<string, StoredFunction>
}
export interface CopyPlace {
  readonly stateDir: string
  readonly images: Pick<ImageStore, 'readAnnotation' | 'forgetAnnotation'>
}

export class RegistryCopy {
  readonly #logger: Logger
  readonly #file: TextMapFile
  readonly #place: CopyPlace

  private constructor(file: TextMapFile, place: CopyPlace, logger: Logger) {
    this.#file = file
    this.#place = place
    this.#logger = logger
  }

  /** `functions`: what there is now, to be written as a whole. `found` null: there is no copy, or it cannot be read (said in
   *  the log). `isOld`: it lies where earlier releases kept it; `adopt` moves it when `functions` has it. */
  static async open(
    place: CopyPlace,
    functions: () => Iterable<readonly [string, StoredFunction]>,
    logger: Logger,
  ): Promise<{ readonly copy: RegistryCopy; readonly found: RegistryCopyContent | null; readonly isOld: boolean }> {
    const path = join(place.stateDir, FILE)
    const warn = (error: Error): void =>
      logger.warn({ reason: error.message, path }, "the registry's copy cannot be written")
    const unreadable = (error: Error): null => {
      logger.warn({ reason: error.message, path }, "the registry's copy cannot be read")
      return null
    }
    const { file, found } = await TextMapFile.open({
      path,
      form: documentsForm(unreadable),
      texts: () => textsOf(functions()),
      warn,
    })
    const copy = new RegistryCopy(file, place, logger)
    if (found !== null)
      return { copy, found: { epoch: found.epoch, functions: functionsIn(found.texts) }, isOld: false }
    const old = await readOld(place).catch(unreadable)
    return { copy, found: old, isOld: old !== null }
  }

  /** Takes over what an earlier release left in the images' index. Never throws. */
  async adopt(epoch: number): Promise<void> {
    try {
      await this.#file.rewrite(epoch)
      // ORDER: it goes from there when it is here.
      await this.#place.images.forgetAnnotation(ANNOTATION)
    } catch (error) {
      this.#warn(error as Error)
    }
  }

  /** Never throws: the change itself is already safe in Redis. */
  async changed(epoch: number, key: string, { head, added, dropped }: Change): Promise<void> {
    const changes: TextChange[] = [[key, JSON.stringify(head)]]
    for (const version of added) changes.push([`${key}@${version.version}`, JSON.stringify(version)])
    for (const number of dropped) changes.push([`${key}@${number}`, null])
    await this.#file.append(epoch, changes).catch((error) => this.#warn(error))
  }

  /** Never throws. */
  async rewritten(epoch: number): Promise<void> {
    await this.#file.rewrite(epoch).catch((error) => this.#warn(error))
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  #warn(error: Error): void {
    this.#logger.warn({ reason: error.message }, "the registry's copy cannot be written")
  }
}

function* textsOf(functions: Iterable<readonly [string, StoredFunction]>): Generator<[string, string]> {
  for (const [key, stored] of functions) {
    yield [key, JSON.stringify(headOf(stored))]
    for (const version of stored.versions) yield [`${key}@${version.version}`, JSON.stringify(version)]
  }
}

function functionsIn(texts: ReadonlyMap<string, string>): Map<string, StoredFunction> {
  const heads = new Map<string, StoredHead>()
  const versions = new Map<string, FunctionVersion[]>()
  for (const [key, text] of texts) {
    const at = key.indexOf('@')
    if (at < 0) heads.set(key, JSON.parse(text) as StoredHead)
    else addTo(versions, key.slice(0, at), JSON.parse(text) as FunctionVersion)
  }
  return new Map([...heads].map(([key, head]) => [key, assemble(head, versions.get(key) ?? [])]))
}

async function readOld({ images }: CopyPlace): Promise<RegistryCopyContent | null> {
  const text = await images.readAnnotation(ANNOTATION)
  if (text === null) return null
  const { epoch, functions } = JSON.parse(text) as { epoch: number; functions: Record<string, StoredFunction> }
  return { epoch, functions: new Map(Object.entries(functions)) }
}
