// Builds the bootstrap (runtime/bootstrap) into the one CommonJS file that runs inside every sandbox.
// The result is cached by the hash of its sources; esbuild is loaded only when it must be built.
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeDurable } from '../../runtime/host/durable-file.ts'

const RUNTIME = fileURLToPath(new URL('../../runtime', import.meta.url))
const FOLDERS = ['protocol', 'bootstrap']
// Part of the cache key: change it with the build options below.
const OPTIONS_VERSION = '1'

/** The bootstrap as one file. With a `cacheDir` (made when missing) it is built once per state of the sources.
 *  Throws esbuild's error when the sources do not build. */
export async function buildBootstrap(cacheDir: string | null): Promise<Buffer> {
  if (cacheDir === null) return build()
  const path = join(cacheDir, `bootstrap-${await hashSources()}.cjs`)
  const cached = await readFile(path).catch(() => null)
  // Empty: what a power cut leaves of a file whose name was on disk before its content.
  if (cached !== null && cached.length > 0) return cached
  const built = await build()
  await mkdir(cacheDir, { recursive: true })
  await writeDurable(path, built)
  return built
}

async function build(): Promise<Buffer> {
  const esbuild = await import('esbuild')
  const result = await esbuild.build({
    entryPoints: [join(RUNTIME, 'bootstrap/main.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    write: false,
    legalComments: 'none',
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: 'silent',
  })
  // The service process of esbuild is not needed again.
  await esbuild.stop()
  return Buffer.from(result.outputFiles[0]!.contents)
}

async function hashSources(): Promise<string> {
  const hash = createHash('sha256').update(OPTIONS_VERSION).update(process.versions.modules)
  for (const folder of FOLDERS) {
    const names = await readdir(join(RUNTIME, folder))
    for (const name of names.filter((entry) => entry.endsWith('.ts')).sort()) {
      hash.update(`${folder}/${name}\n`).update(await readFile(join(RUNTIME, folder, name)))
    }
  }
  return hash.digest('hex').slice(0, 16)
}
