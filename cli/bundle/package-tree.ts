// Lays out the packages that ship with a bundle: each with what it needs at run time, so that Node finds the same copies
// under `/code/node_modules` that it found on this machine. Reads package.json files and folder listings only.
import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { CliError } from '../errors.ts'
import { findPackage, readPackageJson, runsHere } from './package-folder.ts'

/** One package to ship. */
export interface ShippedPackage {
  /** Where it goes: `node_modules/sharp`, or nested where two versions are needed. */
  readonly member: string
  /** Where it is on this machine, real path. */
  readonly folder: string
}

/** A file to ship. */
export interface ShippedFile {
  readonly member: string
  readonly path: string
  readonly mode: 0o644 | 0o755
}

/** The packages (name → folder) and, breadth first, their runtime dependencies. Throws CliError BUNDLE_FAILED when one is not installed. */
export function layOutPackages(roots: ReadonlyMap<string, string>): ShippedPackage[] {
  const placed = new Map<string, string>()
  const queue: ShippedPackage[] = []
  const place = (member: string, folder: string): void => {
    placed.set(member, folder)
    queue.push({ member, folder })
  }
  for (const name of [...roots.keys()].sort()) place(`node_modules/${name}`, roots.get(name)!)
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
    for (const { name, required } of runtimeDependencies(item.folder)) {
      const folder = findPackage(name, item.folder)
      if (folder === null) {
        if (!required) continue
        throw new CliError('BUNDLE_FAILED', `package ${basename(item.folder)} needs ${name}, which is not installed`, {
          hints: ['run npm install'],
        })
      }
      const manifest = readPackageJson(folder)
      if (manifest === null || !runsHere(manifest) || visibleFrom(placed, item.member, name) === folder) continue
      const top = `node_modules/${name}`
      place(placed.has(top) ? `${item.member}/node_modules/${name}` : top, folder)
    }
  }
  return [...placed].map(([member, folder]) => ({ member, folder })).sort((a, b) => (a.member < b.member ? -1 : 1))
}

/** All files of a package in the order of their names, without nested packages, other platforms' parts and build leftovers. */
export function listPackageFiles(item: ShippedPackage): ShippedFile[] {
  const files: ShippedFile[] = []
  const walk = (folder: string, member: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name)
      const childMember = `${member}/${entry.name}`
      if (entry.isDirectory()) {
        if (!isLeftOut(childMember.slice(item.member.length + 1))) walk(path, childMember)
        continue
      }
      const stats = statSync(path, { throwIfNoEntry: false })
      if (stats?.isFile()) files.push({ member: childMember, path, mode: stats.mode & 0o111 ? 0o755 : 0o644 })
    }
  }
  walk(item.folder, item.member)
  return files
}

function runtimeDependencies(folder: string): { name: string; required: boolean }[] {
  const manifest = readPackageJson(folder) ?? {}
  const optional = Object.keys(manifest.optionalDependencies ?? {})
  const required = Object.keys(manifest.dependencies ?? {}).filter((name) => !optional.includes(name))
  const peers = Object.keys(manifest.peerDependencies ?? {}).filter((name) => !name.startsWith('@types/'))
  return [
    ...required.map((name) => ({ name, required: true })),
    ...optional.map((name) => ({ name, required: false })),
    ...peers.map((name) => ({ name, required: false })),
  ].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** What Node would find for `name` from inside `member`, in the layout made so far. */
function visibleFrom(placed: ReadonlyMap<string, string>, member: string, name: string): string | null {
  for (let at = member; at !== '.'; at = dirname(at)) {
    if (basename(at) === 'node_modules') continue
    const folder = placed.get(`${at}/node_modules/${name}`)
    if (folder !== undefined) return folder
  }
  return placed.get(`node_modules/${name}`) ?? null
}

function isLeftOut(path: string): boolean {
  const name = basename(path)
  if (name === 'node_modules' || name === '.git' || name === '.github') return true
  if (/(^|\/)build\/Release\/(obj|obj\.target|\.deps)$/.test(path)) return true
  const platform = /(^|\/)prebuilds\/([a-z0-9]+)-([a-z0-9+]+)$/.exec(path)
  return platform !== null && !(platform[2] === 'linux' && platform[3]!.split('+').includes(process.arch))
}
