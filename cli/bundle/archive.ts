// The tar of a deploy: `fn.json`, `index.cjs`, `index.cjs.map` and, for packages that cannot be bundled, `node_modules/…`.
// No times, owners or machine paths go in: the same bundle gives the same bytes.
import type { Readable } from 'node:stream'
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
      sources.push({ type: 'file', target: file.member, source: file.path, mode: file.mode, ...PLAIN })
    }
  }
  return packTar(sources, { concurrency: 2 })
}
