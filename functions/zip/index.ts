// Archives posted files: multipart form data in, one ZIP out. The archive is built on /tmp, a bounded tmpfs that belongs to
// this sandbox alone, and streamed back from there; the file is removed when the last byte is read.
//   bin/fn deploy functions/zip
//   curl -sS -F file=@README.md -F file=@package.json http://127.0.0.1:8080/fn/zip > files.zip && unzip -l files.zip
import { once } from 'node:events'
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Zip, ZipDeflate, ZipPassThrough } from 'fflate'

/** Already compressed: deflating these again costs time and gains nothing. */
const COMPRESSED = /\.(7z|bz2|gif|gz|jpe?g|mp[34]|png|webp|xz|zip|zst)$/i

export default async function archive(request: Request): Promise<Response> {
  if (request.method !== 'POST') return new Response('POST files as multipart form data\n', { status: 405 })
  let form: FormData
  try {
    form = await request.formData()
  } catch (error) {
    return new Response(`expected multipart form data: ${(error as Error).message}\n`, { status: 400 })
  }
  const files = [...form.values()].filter((value) => value instanceof File)
  if (files.length === 0) return new Response('no files in the form\n', { status: 400 })

  const folder = await mkdtemp(join(tmpdir(), 'zip-'))
  try {
    const path = join(folder, 'files.zip')
    await writeArchive(path, files)
    const { size } = await stat(path)
    return new Response(streamOnce(path, folder), {
      headers: {
        'content-type': 'application/zip',
        'content-length': String(size),
        'content-disposition': 'attachment; filename="files.zip"',
      },
    })
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
      return new Response('the archive does not fit into /tmp (deploy with a larger limits.tmpfs)\n', { status: 413 })
    }
    throw error
  }
}

async function writeArchive(path: string, files: readonly File[]): Promise<void> {
  const out = createWriteStream(path)
  const closed = once(out, 'close')
  const zip = new Zip((error, chunk, final) => {
    if (error) out.destroy(error)
    else out.write(chunk)
    if (final) out.end()
  })
  const names = new Set<string>()
  for (const file of files) {
    const name = uniqueName(file.name, names)
    const entry = COMPRESSED.test(name) ? new ZipPassThrough(name) : new ZipDeflate(name, { level: 6 })
    zip.add(entry)
    for await (const chunk of file.stream()) {
      entry.push(chunk)
      await drained(out)
    }
    entry.push(new Uint8Array(0), true)
  }
  zip.end()
  await closed
}

/** Waits while the file takes no more; throws what broke the writing (a full /tmp). */
async function drained(out: WriteStream): Promise<void> {
  if (out.errored) throw out.errored
  if (out.writableNeedDrain) await once(out, 'drain')
}

/** Only the base name, so that an archive never unpacks outside its folder; a second `a.txt` becomes `a (2).txt`. */
function uniqueName(name: string, seen: Set<string>): string {
  const base = name.split(/[/\\]/).pop()?.replace(/^\.+$/, '') || 'file'
  const dot = base.lastIndexOf('.') > 0 ? base.lastIndexOf('.') : base.length
  let unique = base
  for (let n = 2; seen.has(unique); n++) unique = `${base.slice(0, dot)} (${n})${base.slice(dot)}`
  seen.add(unique)
  return unique
}

function streamOnce(path: string, folder: string): ReadableStream<Uint8Array> {
  const file = createReadStream(path)
  file.once('close', () => void rm(folder, { recursive: true, force: true }))
  return Readable.toWeb(file) as ReadableStream<Uint8Array>
}
