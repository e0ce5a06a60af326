// Turns an author's file or folder into what a deploy sends: one CommonJS file with its source map, the manifest, the packages
// that cannot be bundled and the files read at run time. The same content gives the same bytes. Never runs the author's code.
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { BuildOptions } from 'esbuild'
import type { HandlerForm } from '../../runtime/api.ts'
import { asNodeLoads } from './as-node-loads.ts'
import { bundleError, formatMessage, type MessagePaths } from './build-errors.ts'
import { computedDrivers } from './computed-drivers.ts'
import { compileDecorators } from './decorator-metadata.ts'
import { type EntryLocation, folderEntry, locateEntry } from './entry.ts'
import { attempt, BuildFault, type FullResult, moduleOptions, type Target, targetOptions } from './esbuild-options.ts'
import { type FileReferences, findReferences } from './file-references.ts'
import { commonJsForm, detectForm } from './form.ts'
import { createOptionalPackages, type OptionalPackages } from './import-plugins.ts'
import { createKeptOutPackages, externalNames, type KeptOutPackages } from './kept-out-packages.ts'
import { chooseName, type Manifest, type ManifestFlags, mergeManifest, readManifest } from './manifest.ts'
import type { CompiledSource } from './own-sources.ts'
import { layOutPackages, type ShippedPackage } from './package-tree.ts'
import { type BesideFile, besideFiles, listedFiles } from './shipped-files.ts'

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
  /** Packages that cannot be bundled and all they need; empty when there are none. */
  readonly packages: readonly ShippedPackage[]
  /** Files that ship with the code; empty when there are none. */
  readonly files: readonly BesideFile[]
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
  const entryPath = join(location.folder, entry)
  const project: Project = {
    paths: { folder: location.folder, cwd },
    entry,
    keptOut: createKeptOutPackages(externalNames(manifest.external, shownManifest), location.folder),
    optional: createOptionalPackages(),
    compiled: await compileDecorators(entryPath, location.folder),
  }
  const listed = listedFiles(manifest.files, location.folder, shownManifest)
  const form = await analyse(project, manifest.form)
  const { result, references } = await buildWithReferences(project, form)
  const beside = [...listed, ...project.keptOut.addOns]
  const files = await besideFiles(beside, references.own, location.folder, (file, format) =>
    buildBeside(project, file, format),
  )
  return {
    name,
    manifest: { ...manifest, name, entry, form: form.form },
    form: form.form,
    entryPath,
    source: asNodeLoads(outputOf(result, '.cjs')),
    sourceMap: outputOf(result, '.cjs.map'),
    packages: layOutPackages(project.keptOut.found),
    files,
    warnings: warningsOf(project, result, references),
    inputs: [...inputsOf(result, location.folder), ...files.flatMap((file) => file.path ?? [])],
  }
}

/** What every build of one deploy knows. */
interface Project {
  readonly paths: MessagePaths
  /** Relative to the folder. */
  readonly entry: string
  readonly keptOut: KeptOutPackages
  readonly optional: OptionalPackages
  readonly compiled: ReadonlyMap<string, CompiledSource>
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
const STDIN = '<stdin>'

/** Reads the export list. esbuild tells it for ES modules only, hence a first, shallow pass with packages left out. */
async function analyse(project: Project, asked: unknown): Promise<EntryForm> {
  const { entry, paths } = project
  const input: BuildOptions = { entryPoints: [`./${entry}`], packages: 'external', sourcemap: false }
  const options = optionsFor(project, 'esm')
  const result = await attempt({ ...options, ...input }).catch((error: unknown) => sayAll(project, error))
  const shown = relative(paths.cwd, join(paths.folder, entry))
  const isCommonJs = result.metafile.inputs[entry]?.format === 'cjs'
  // What the author says holds, whatever the exports look like; the platform refuses a wrong word.
  if (asked !== undefined) return { form: asked as HandlerForm, isCommonJs }
  if (isCommonJs) return { form: commonJsForm(readFileSync(join(paths.folder, entry), 'utf8'), shown), isCommonJs }
  const exports = Object.values(result.metafile.outputs).find((output) => output.entryPoint === entry)?.exports ?? []
  return { form: detectForm(exports, shown), isCommonJs }
}

/** The shallow pass sees no fault of an import of a package: a whole build adds those, so that one run tells all. */
async function sayAll(project: Project, error: unknown): Promise<never> {
  if (!(error instanceof BuildFault)) throw error
  const entryPoints = [`./${project.entry}`]
  const build = () => attempt({ ...optionsFor(project, 'esm'), entryPoints, sourcemap: false }).catch((other) => other)
  let more = await build()
  while (more instanceof BuildFault && project.optional.accept(more.errors, project.paths.folder)) more = await build()
  throw bundleError([...error.errors, ...(more instanceof BuildFault ? more.errors : [])], project.paths)
}

/** Builds until no package has turned out to need its own files. */
async function buildWithReferences(project: Project, form: EntryForm) {
  const { keptOut, paths } = project
  for (;;) {
    const result = await buildAll(project, form)
    const inputs = inputsOf(result, paths.folder)
    const references = await findReferences(inputs, paths.folder)
    const late = [...references.packages].filter((folder) => keptOut.keepOut(folder))
    const drivers = [...computedDrivers(inputs)].filter(([name, folder]) => keptOut.ship(name, folder))
    if (late.length === 0 && drivers.length === 0) return { result, references }
  }
}

async function buildAll(project: Project, form: EntryForm): Promise<FullResult> {
  const { paths, optional } = project
  for (let target: Target = 'cjs'; ; ) {
    try {
      return await buildAs(project, form, target)
    } catch (error) {
      if (!(error instanceof BuildFault)) throw error
      if (optional.accept(error.errors, paths.folder)) continue
      // `require` gives what is there now: no CommonJS module can wait for another.
      if (target === 'async' || form.isCommonJs || !error.isTopLevelAwait) throw bundleError(error.errors, paths)
      target = 'async'
    }
  }
}

async function buildAs(project: Project, form: EntryForm, target: Target): Promise<FullResult> {
  const { entry, paths, keptOut } = project
  const stdin = (contents: string): BuildOptions => ({
    stdin: { contents, resolveDir: paths.folder, sourcefile: STDIN, loader: 'js' },
  })
  const input: BuildOptions = form.isCommonJs
    ? stdin(commonJsWrapper(entry, form.form))
    : target === 'async'
      ? stdin(`import * as entry from ${JSON.stringify(`./${entry}`)}\n__fn_exports = entry\n`)
      : { entryPoints: [`./${entry}`] }
  for (;;) {
    const result = await attempt({ ...optionsFor(project, target), ...input, sourcemap: 'external' })
    if (!keptOut.takeRestart()) return result
  }
}

/** One file for a module that runs by itself: a worker thread, a process, a plugin. */
async function buildBeside(project: Project, path: string, format: 'esm' | 'cjs'): Promise<Buffer> {
  const { paths, optional, keptOut } = project
  for (;;) {
    try {
      const options = moduleOptions(format, optionsFor(project, format))
      const result = await attempt({ ...options, entryPoints: [path], sourcemap: false })
      if (!keptOut.takeRestart()) return asNodeLoads(outputOf(result, '.cjs'))
    } catch (error) {
      if (!(error instanceof BuildFault)) throw error
      if (!optional.accept(error.errors, paths.folder)) throw bundleError(error.errors, paths)
    }
  }
}

function optionsFor({ entry, paths, keptOut, optional, compiled }: Project, target: Target): BuildOptions {
  return targetOptions({ entry, folder: paths.folder, compiled, target, plugins: [keptOut.plugin, optional.plugin] })
}

/** Gives a CommonJS entry the exports of an ES module, so that the sandbox sees one shape. */
function commonJsWrapper(entry: string, form: HandlerForm): string {
  const required = `const entry = require(${JSON.stringify(`./${entry}`)})`
  return form === 'web'
    ? `${required}\nexport default entry.default ?? entry\n`
    : `${required}\nexport const handler = entry.handler\n`
}

function outputOf(result: FullResult, ending: string): Buffer {
  return Buffer.from(result.outputFiles.find((candidate) => candidate.path.endsWith(ending))!.contents)
}

function inputsOf(result: FullResult, folder: string): string[] {
  return Object.keys(result.metafile.inputs)
    .filter((input) => !input.includes(':') && input !== STDIN)
    .map((input) => join(folder, input))
}

function warningsOf(project: Project, result: FullResult, references: FileReferences): string[] {
  const { keptOut, optional, paths } = project
  return [
    ...result.warnings.map((warning) => formatMessage(warning, paths)),
    ...[...keptOut.conflicts].map(
      (name) => `package ${name} is installed twice; only ${keptOut.found.get(name)} ships`,
    ),
    ...optional.warnings(),
    ...references.notes,
  ]
}
