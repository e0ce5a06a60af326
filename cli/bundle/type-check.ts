// `--check`: runs the project's own TypeScript on one entry. The author's tsconfig.json counts where there is one; else strict
// defaults. Writes only a temporary tsconfig and removes it.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { spawn } from '../../runtime/api.ts'
import { CliError } from '../errors.ts'
import { PLATFORM_MODULE } from './platform-module.ts'

const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url))

/** TypeScript's command line. */
export const TYPESCRIPT = join(MODULES, 'typescript/bin/tsc')

/** Used when the author has no tsconfig.json. */
const STRICT = {
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable'],
  module: 'preserve',
  strict: true,
  skipLibCheck: true,
  allowJs: true,
  resolveJsonModule: true,
}

export interface TypeCheckOptions {
  readonly cwd: string
  readonly colour: boolean
}

/** Type-checks `entry` (absolute) and what it imports. Resolves to ms taken; throws CliError TYPE_CHECK_FAILED with tsc's own text. */
export async function checkTypes(entry: string, options: TypeCheckOptions): Promise<number> {
  const startMs = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'fn-check-'))
  try {
    const project = join(folder, 'tsconfig.json')
    writeFileSync(project, JSON.stringify(projectFor(entry)))
    const child = spawn(process.execPath, [TYPESCRIPT, '-p', project, '--pretty', 'true'], {
      cwd: options.cwd,
      stderr: 'inherit',
    })
    const chunks: Buffer[] = []
    for await (const chunk of child.stdout!) chunks.push(chunk as Buffer)
    const { code } = await child.exited
    const text = Buffer.concat(chunks).toString().trimEnd()
    if (code !== 0) {
      throw new CliError('TYPE_CHECK_FAILED', 'the types do not check', {
        details: options.colour ? text : stripVTControlCharacters(text),
        hints: ['deploy without --check leaves types out'],
      })
    }
    return performance.now() - startMs
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function projectFor(entry: string): object {
  const own = nearestConfig(dirname(entry))
  return {
    ...(own === null ? {} : { extends: own }),
    compilerOptions: {
      ...(own === null ? { ...STRICT, types: ['node'] } : {}),
      noEmit: true,
      composite: false,
      incremental: false,
      allowImportingTsExtensions: true,
      paths: { thaw: [PLATFORM_MODULE] },
      typeRoots: [join(dirname(own ?? entry), 'node_modules/@types'), join(MODULES, '@types')],
    },
    files: [entry],
    include: [],
    exclude: [],
    references: [],
  }
}

/** The tsconfig.json that counts for files of a folder, or null; never one above the repository. */
export function nearestConfig(from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'tsconfig.json')
    if (existsSync(candidate)) return candidate
    if (existsSync(join(folder, '.git')) || dirname(folder) === folder) return null
  }
}
