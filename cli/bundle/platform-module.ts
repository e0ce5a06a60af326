// Resolves `import … from 'thaw'` to this platform's own module, wherever the author's folder lies, under names that do not
// tell where the platform is installed.
import { readFile } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'esbuild'

const RUNTIME = fileURLToPath(new URL('../../runtime', import.meta.url))
const NAMESPACE = 'thaw'

/** File of the module `thaw` (the package's own export), for type checks. */
export const PLATFORM_MODULE = join(RUNTIME, 'handler.ts')

/** esbuild plugin; stateless. */
export const platformModule: Plugin = {
  name: 'platform-module',
  setup(build) {
    build.onResolve({ filter: /^thaw$/ }, () => ({ path: 'handler.ts', namespace: NAMESPACE, sideEffects: false }))
    build.onResolve({ filter: /^\./, namespace: NAMESPACE }, (args) => ({
      path: posix.join(dirname(args.importer), args.path),
      namespace: NAMESPACE,
      sideEffects: false,
    }))
    build.onLoad({ filter: /./, namespace: NAMESPACE }, async (args) => ({
      contents: await readFile(join(RUNTIME, args.path), 'utf8'),
      loader: 'ts',
    }))
  },
}
