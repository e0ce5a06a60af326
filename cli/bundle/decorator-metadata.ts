// Decorator metadata (`emitDecoratorMetadata`): esbuild has no types to make it from, so the project's own TypeScript compiles
// the author's modules first. Runs only where tsconfig.json asks for it.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { spawn } from '../../runtime/api.ts'
import type { CompiledSource } from './own-sources.ts'
import { nearestConfig, TYPESCRIPT } from './type-check.ts'

const NONE: ReadonlyMap<string, CompiledSource> = new Map()

/** The author's modules below `folder` as TypeScript compiles them, by path; empty where the project wants no metadata. What does
 *  not compile is missing: esbuild reports it. */
export async function compileDecorators(entry: string, folder: string): Promise<ReadonlyMap<string, CompiledSource>> {
  const config = nearestConfig(folder)
  if (config === null || !(await wantsMetadata(config))) return NONE
  const out = mkdtempSync(join(tmpdir(), 'fn-decorators-'))
  try {
    const project = join(out, 'tsconfig.json')
    writeFileSync(project, JSON.stringify(projectFor(config, entry, join(out, 'js'))))
    // ORDER: what it says of types is not asked for; whatever it wrote is taken.
    await runTypeScript(['-p', project])
    return readOutput(join(out, 'js'))
  } finally {
    rmSync(out, { recursive: true, force: true })
  }
}

/** Read by TypeScript itself: the option may come from a file that tsconfig.json extends. */
async function wantsMetadata(config: string): Promise<boolean> {
  if (!/"(?:emitDecoratorMetadata|extends)"/.test(readFileSync(config, 'utf8'))) return false
  return /"emitDecoratorMetadata": *true/.test(await runTypeScript(['--showConfig', '-p', config]))
}

function projectFor(config: string, entry: string, outDir: string): object {
  return {
    extends: config,
    compilerOptions: {
      noEmit: false,
      emitDeclarationOnly: false,
      noCheck: true,
      noEmitOnError: false,
      composite: false,
      incremental: false,
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      inlineSourceMap: true,
      inlineSources: false,
      module: 'preserve',
      moduleResolution: 'bundler',
      jsx: 'preserve',
      allowImportingTsExtensions: false,
      // Full paths below the output folder: no two files meet.
      rootDir: '/',
      outDir,
    },
    files: [entry],
    include: [],
    exclude: [],
    references: [],
  }
}

async function runTypeScript(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [TYPESCRIPT, ...args], { stderr: 'inherit' })
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout!) chunks.push(chunk as Buffer)
  await child.exited
  return Buffer.concat(chunks).toString()
}

function readOutput(folder: string): ReadonlyMap<string, CompiledSource> {
  const compiled = new Map<string, CompiledSource>()
  if (!existsSync(folder)) return compiled
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const match = entry.isFile() ? /^(.*)\.([cm]?)js(x?)$/.exec(entry.name) : null
    if (match === null) continue
    const [, stem, kind, x] = match
    const made = join(entry.parentPath, entry.name)
    const source = `${join(entry.parentPath, stem!).slice(folder.length)}.${kind}ts${x}`
    if (!existsSync(source)) continue
    compiled.set(source, { text: withOwnName(readFileSync(made, 'utf8'), source), loader: x === '' ? 'js' : 'jsx' })
  }
  return compiled
}

const INLINE_MAP = /\/\/# sourceMappingURL=data:application\/json;base64,([A-Za-z0-9+/=]+)\s*$/

/** The inline map names its source by the way from the output folder; esbuild reads it as the way from the source's folder. */
function withOwnName(text: string, source: string): string {
  return text.replace(INLINE_MAP, (_, encoded: string) => {
    const map = JSON.parse(Buffer.from(encoded, 'base64').toString()) as Record<string, unknown>
    const named = JSON.stringify({ ...map, sourceRoot: '', sources: [basename(source)] })
    return `//# sourceMappingURL=data:application/json;base64,${Buffer.from(named).toString('base64')}`
  })
}
