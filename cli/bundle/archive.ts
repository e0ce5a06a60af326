// The tar of a deploy: `fn.json`, `index.cjs`, `index.cjs.map`, for packages that cannot be bundled `node_modules/…`, and for files
// that are read at run time `files/…`.
// No times, owners or machine paths go in: the same bundle gives the same bytes.
import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import { packTar, type TarSource } from 'modern-tar/fs'
import type { Bundle } from './bundle.ts'
import { listPackageFiles } from './package-tree.ts'

const EPOCH = new Date(0)
const PLAIN = { mtime: EPOCH, uid: 0, gid: 0, uname: '', gname: '' }

/** Streams the tar; files of packages are read as it goes. The reader owns the stream and must end or destroy it. */
export function packBundle(bundle: Bundle): Readable {
  const content = (target: string, bytes: Buffer | string): TarSource => ({
    type: 'content',
    target,
    content: bytes,
    mode: 0o644,
    ...PLAIN,
  })
  const sources: TarSource[] = [
    content('fn.json', `${JSON.stringify(bundle.manifest, null, 2)}\n`),
    content('index.cjs', bundle.source),
    content('index.cjs.map', bundle.sourceMap),
  ]
  for (const item of bundle.packages) {
    for (const file of listPackageFiles(item)) {
      sources.push(fileSource(file.member, file.path, file.mode))
    }
  }
  for (const { member, path, content: bytes, mode } of bundle.files) {
    if (bytes !== null) sources.push({ ...content(member, bytes), mode })
    else if (path !== null) sources.push(fileSource(member, path, mode))
  }
  return packTar(sources, { concurrency: 2 })
}

/** A file's bytes under a name. Not as the packer's own kind of file: that sends a file of several names (pnpm links those of its
 *  store) as a link to another member, and a symbolic link as a link. */
function fileSource(target: string, path: string, mode: number): TarSource {
  const { size } = statSync(path)
  // The packer takes no stream of nothing.
  if (size === 0) return { type: 'content', target, content: Buffer.alloc(0), mode, ...PLAIN }
  return { type: 'stream', target, content: Readable.from(readLater(path)), size, mode, ...PLAIN }
}

/** Opens the file when it is its turn: a package has thousands. */
async function* readLater(path: string): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(path)) yield chunk as Buffer
}
