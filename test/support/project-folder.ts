// A folder of an author's files for tests of bundling: written, bundled, and run as a sandbox does. Made before each test of the
// file that asks for it, and removed after.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { compileFunction } from 'node:vm'
import { afterEach, beforeEach } from 'vitest'
import { type Bundle, bundleHandler } from '../../cli/bundle/bundle.ts'

type Files = Readonly<Record<string, string | Uint8Array>>
type Handler = { default: (request?: Request) => Promise<Response> | Response }

export interface ProjectFolder {
  /** Another one in each test. */
  readonly folder: string
  write(files: Files): void
  /** The folder's bundle with these files in it. */
  bundleOf(files: Files): Promise<Bundle>
  bundleHere(path?: string): Promise<Bundle>
  /** Runs a bundle as the sandbox does; its exports, also where the code awaits. */
  load(bundle: Bundle): Promise<Handler>
}

/** Names of what ships with the code. */
export const members = ({ files }: Bundle): string[] => files.map(({ member }) => member)

export function useProjectFolder(): ProjectFolder {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fn-project-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))
  const project: ProjectFolder = {
    get folder() {
      return folder
    },
    write(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true })
        writeFileSync(join(folder, name), text)
      }
    },
    bundleOf(files) {
      project.write(files)
      return project.bundleHere()
    },
    bundleHere: (path = '.') => bundleHandler(path, { cwd: folder, flags: { name: 'it' } }),
    async load({ source }) {
      const module = { exports: {} }
      const run = compileFunction(source.toString(), ['exports', 'require', 'module', '__filename', '__dirname'])
      run(module.exports, createRequire(join(folder, 'x.js')), module, '/code/index.js', '/code')
      return (await module.exports) as never
    },
  }
  return project
}
