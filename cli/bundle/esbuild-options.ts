// How esbuild is called: the options of every build, and what a failed one said. Which modules are built is bundle.ts's business.
import { basename, extname, join } from 'node:path'
import { type BuildFailure, type BuildOptions, type BuildResult, build, type Message, type Plugin } from 'esbuild'
import { CliError } from '../errors.ts'
import { foreignSchemes, wasmModules } from './import-plugins.ts'
import { type CompiledSource, INSIDE, LOCATION_DEFINES, locationVariables, ownSources } from './own-sources.ts'
import { platformModule } from './platform-module.ts'

export type FullResult = BuildResult<{ write: false; metafile: true }>

/** `cjs`: what a sandbox loads. `async`: the same for code with a top-level await, `module.exports` is then a promise. `esm`: a
 *  look at the exports, and modules that Node loads as such. */
export type Target = 'cjs' | 'async' | 'esm'

export interface TargetOptions {
  /** Relative to `folder`. */
  readonly entry: string
  readonly folder: string
  readonly compiled: ReadonlyMap<string, CompiledSource>
  readonly target: Target
  readonly plugins: readonly Plugin[]
}

/** Files that are text to an import: templates, queries, documents. */
const TEXT =
  'html htm md txt sql svg css csv xml yaml yml graphql gql hbs handlebars mustache ejs pug njk liquid tmpl tpl eta pem crt'

export function targetOptions({ entry, folder, compiled, target, plugins }: TargetOptions): BuildOptions {
  const inside = `${INSIDE}/${basename(entry, extname(entry))}.js`
  const where = locationVariables(inside)
  return {
    absWorkingDir: folder,
    outfile: join(folder, 'index.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node24',
    charset: 'utf8',
    keepNames: true,
    legalComments: 'none',
    sourcesContent: false,
    logLevel: 'silent',
    format: target === 'cjs' ? 'cjs' : 'esm',
    // A bundle has no `import.meta`: own modules say where they lie, all others count as in /code.
    define: { ...LOCATION_DEFINES },
    banner: { js: target === 'async' ? `module.exports=(async()=>{let __fn_exports;${where}` : where },
    footer: target === 'async' ? { js: ';return __fn_exports})()' } : {},
    // `import()` of what is not in the bundle becomes `require`, which needs nothing of the loader inside.
    supported: { 'dynamic-import': false },
    loader: { ...Object.fromEntries(TEXT.split(' ').map((ending) => [`.${ending}`, 'text'])), '.bin': 'binary' },
    plugins: [
      platformModule,
      foreignSchemes,
      ...(target === 'async' ? [requiredInside] : []),
      ...plugins,
      wasmModules,
      ownSources(folder, compiled),
    ],
  }
}

/** For a module that Node loads from its own file inside: the places of its parts are right as they are. */
export function moduleOptions(format: 'esm' | 'cjs', options: BuildOptions): BuildOptions {
  const require =
    "import{createRequire as __fn_require}from'node:module';globalThis.require??=__fn_require(import.meta.url);"
  const banner = options.banner?.js ?? ''
  return { ...options, banner: { js: format === 'esm' ? `${require}${banner}` : banner } }
}

/** An async function has no import statements: what stays outside is required. */
const requiredInside: Plugin = {
  name: 'required-inside',
  setup(build) {
    const REQUIRED = 'required'
    build.onResolve({ filter: /^[^./#]/ }, async ({ path, pluginData, ...from }) => {
      if (pluginData === REQUIRED || from.kind !== 'import-statement' || from.namespace === REQUIRED) return undefined
      const { importer, namespace, resolveDir, kind } = from
      const found = await build.resolve(path, { importer, namespace, resolveDir, kind, pluginData: REQUIRED })
      if (found.errors.length > 0 || !found.external) return undefined
      return { path: found.path, namespace: REQUIRED }
    })
    build.onResolve({ filter: /./, namespace: REQUIRED }, ({ path }) => ({ path, external: true }))
    build.onLoad({ filter: /./, namespace: REQUIRED }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }))
  },
}

/** What esbuild said of a build that failed. */
export class BuildFault extends Error {
  readonly errors: readonly Message[]
  constructor(errors: readonly Message[]) {
    super(errors[0]?.text ?? 'the code does not bundle')
    this.errors = errors
  }

  /** True when nothing but a top-level await is in the way. */
  get isTopLevelAwait(): boolean {
    return this.errors.every(({ text }) => /^Top-level await is (?:currently )?not (?:supported|available)/.test(text))
  }
}

/** One build. Throws BuildFault, or CliError BUNDLE_FAILED when esbuild itself fails. */
export async function attempt(options: BuildOptions): Promise<FullResult> {
  try {
    return await build({ ...options, write: false, metafile: true })
  } catch (error) {
    const messages = (error as Partial<BuildFailure>).errors
    if (messages !== undefined && messages.length > 0) throw new BuildFault(messages)
    throw new CliError('BUNDLE_FAILED', (error as Error).message, { cause: error })
  }
}
