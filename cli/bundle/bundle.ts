// Turns an author's file or folder into what a deploy sends: one CommonJS file with its source map, the manifest, and the
// packages that cannot be bundled. The same content gives the same bytes. Never runs the author's code.
import { readFileSync } from 'node:fs'
import { basename, extname, join, relative } from 'node:path'
import { type BuildFailure, type BuildOptions, type BuildResult, build, type Message } from 'esbuild'
import type { HandlerForm } from '../../runtime/api.ts'
import { CliError } from '../errors.ts'
import { bundleError, formatMessage, type MessagePaths } from './build-errors.ts'
import { type EntryLocation, folderEntry, locateEntry } from './entry.ts'
import { commonJsExports, detectForm } from './form.ts'
import { chooseName, type Manifest, type ManifestFlags, mergeManifest, readManifest } from './manifest.ts'
import { createNativePackages, type NativePackages } from './native-packages.ts'
import { layOutPackages, type ShippedPackage } from './package-tree.ts'
import { platformModule } from './platform-module.ts'

export interface BundleOptions {
  /** Folder that `path` and printed positions are relative to; default: the working directory. */
  readonly cwd?: string
  readonly flags?: ManifestFlags
}

export interface Bundle {
  readonly name: string
  /** `fn.json` with flags, name, `form` and `entry` in it. */
  readonly manifest: Manifest
  readonly form: HandlerForm
  /** Absolute path of the entry. */
  readonly entryPath: string
  readonly source: Buffer
  /** Its `sources` are relative to the entry's folder. */
  readonly sourceMap: Buffer
  /** Packages with native code and all they need; empty when there are none. */
  readonly packages: readonly ShippedPackage[]
  /** Formatted, one each. */
  readonly warnings: readonly string[]
  /** Absolute paths of the files that went in. */
  readonly inputs: readonly string[]
}

/** Bundles the file or folder at `path`. Throws CliError (FILE_NOT_FOUND, ENTRY_NOT_FOUND, MANIFEST_INVALID, NAME_INVALID, BUNDLE_FAILED, NO_HANDLER). */
export async function bundleHandler(path: string, options: BundleOptions = {}): Promise<Bundle> {
  const cwd = options.cwd ?? process.cwd()
  const location = locateEntry(path, cwd)
  const shownManifest = relative(cwd, location.manifestPath)
  const manifest = mergeManifest(readManifest(location.manifestPath, shownManifest), options.flags ?? {})
  const name = chooseName(manifest, location.defaultName)
  const entry = entryOf(location, manifest, path)
  const paths: MessagePaths = { folder: location.folder, cwd }

  const native = createNativePackages()
  const form = await analyse(entry, paths, native)
  const result = await buildAll(entry, form, paths, native)
  const file = (ending: string): Buffer => {
    const output = result.outputFiles.find((candidate) => candidate.path.endsWith(ending))
    return Buffer.from(output!.contents)
  }
  const warnings = result.warnings.map((warning) => formatMessage(warning, paths))
  for (const conflict of native.conflicts) {
    warnings.push(`package ${conflict} is installed twice; only ${native.found.get(conflict)} ships`)
  }
  return {
    name,
    manifest: { ...manifest, name, entry, form: form.form },
    form: form.form,
    entryPath: join(location.folder, entry),
    source: file('.cjs'),
    sourceMap: file('.cjs.map'),
    packages: layOutPackages(native.found),
    warnings,
    inputs: Object.keys(result.metafile.inputs)
      .filter((input) => !input.includes(':') && input !== STDIN)
      .map((input) => join(location.folder, input)),
  }
}

function entryOf(location: EntryLocation, manifest: Manifest, shown: string): string {
  if (location.entry !== null) return location.entry
  const named = manifest.entry
  return folderEntry(location.folder, typeof named === 'string' ? named : null, shown)
}

interface EntryForm {
  readonly form: HandlerForm
  readonly isCommonJs: boolean
}
type FullResult = BuildResult<{ write: false; metafile: true }>
const STDIN = '<stdin>'

/** Reads the export list. esbuild tells it for ES modules only, hence a first, shallow pass with packages left out. */
async function analyse(entry: string, paths: MessagePaths, native: NativePackages): Promise<EntryForm> {
  const options = buildOptions(entry, paths, [platformModule, native.plugin])
  const result = await attempt(paths, {
    ...options,
    entryPoints: [`./${entry}`],
    format: 'esm',
    packages: 'external',
    sourcemap: false,
  })
  const shown = relative(paths.cwd, join(paths.folder, entry))
  const isCommonJs = result.metafile.inputs[entry]?.format === 'cjs'
  const exports = isCommonJs
    ? commonJsExports(readFileSync(join(paths.folder, entry), 'utf8'))
    : (Object.values(result.metafile.outputs).find((output) => output.entryPoint === entry)?.exports ?? [])
  return { form: detectForm(exports, shown), isCommonJs }
}

async function buildAll(
  entry: string,
  form: EntryForm,
  paths: MessagePaths,
  native: NativePackages,
): Promise<FullResult> {
  const options = buildOptions(entry, paths, [platformModule, native.plugin])
  const input: BuildOptions = form.isCommonJs
    ? {
        stdin: {
          contents: commonJsWrapper(entry, form.form),
          resolveDir: paths.folder,
          sourcefile: STDIN,
          loader: 'js',
        },
      }
    : { entryPoints: [`./${entry}`] }
  for (;;) {
    const result = await attempt(paths, { ...options, ...input, format: 'cjs', sourcemap: 'external' })
    if (!native.takeRestart()) return result
  }
}

/** Gives a CommonJS entry the exports of an ES module, so that the sandbox sees one shape. */
function commonJsWrapper(entry: string, form: HandlerForm): string {
  const required = `const entry = require(${JSON.stringify(`./${entry}`)})`
  return form === 'web'
    ? `${required}\nexport default entry.default ?? entry\n`
    : `${required}\nexport const handler = entry.handler\n`
}

function buildOptions(entry: string, paths: MessagePaths, plugins: BuildOptions['plugins'] & object): BuildOptions {
  const inside = `/code/${basename(entry, extname(entry))}.js`
  return {
    absWorkingDir: paths.folder,
    outfile: join(paths.folder, 'index.cjs'),
    bundle: true,
    platform: 'node',
    target: 'node24',
    charset: 'utf8',
    keepNames: true,
    legalComments: 'none',
    sourcesContent: false,
    logLevel: 'silent',
    // A bundle has no `import.meta`; inside, the code lies in /code.
    define: {
      'import.meta.url': JSON.stringify(`file://${inside}`),
      'import.meta.filename': JSON.stringify(inside),
      'import.meta.dirname': '"/code"',
    },
    // `import()` of what is not in the bundle becomes `require`, which needs nothing of the loader inside.
    supported: { 'dynamic-import': false },
    loader: { '.html': 'text', '.md': 'text', '.sql': 'text', '.svg': 'text', '.css': 'text', '.wasm': 'binary' },
    plugins: [...plugins, noRemoteImports],
  }
}

const noRemoteImports = {
  name: 'no-remote-imports',
  setup(setup: import('esbuild').PluginBuild) {
    setup.onResolve({ filter: /^https?:/ }, (args) => ({
      errors: [{ text: `cannot import ${args.path}: install it as a package or copy it beside the handler` }],
    }))
  },
}

async function attempt(paths: MessagePaths, options: BuildOptions): Promise<FullResult> {
  try {
    return await build({ ...options, write: false, metafile: true })
  } catch (error) {
    const messages = (error as Partial<BuildFailure>).errors as Message[] | undefined
    if (messages === undefined || messages.length === 0) {
      throw new CliError('BUNDLE_FAILED', (error as Error).message, { cause: error })
    }
    throw bundleError(messages, paths)
  }
}
