// Drivers that a package requires by a name made at run time (TypeORM, Sequelize): of the packages that it says it can use, those that
// are installed.
import { readFileSync } from 'node:fs'
import { isOfPackage } from './own-sources.ts'
import { findPackage, owningPackage, readPackageJson } from './package-folder.ts'
import { layOutPackages } from './package-tree.ts'

/** `require(name)` of a variable. */
const REQUIRES_A_VARIABLE = /(?<![\w$.])require\(\s*[A-Za-z_$][\w$.]*\s*\)/

/** Name → folder of the optional peers of bundled packages that require by a variable. `inputs`: absolute paths of the modules of a
 *  bundle. One that needs the asking package itself is not among them: a second copy of that would be another package. */
export function computedDrivers(inputs: readonly string[]): Map<string, string> {
  const drivers = new Map<string, string>()
  const seen = new Set<string>()
  for (const path of inputs) {
    if (!isOfPackage(path) || !/\.[cm]?js$/.test(path)) continue
    const owner = owningPackage(path)
    if (owner === null || seen.has(owner)) continue
    const peers = optionalPeers(owner)
    if (peers.length === 0) seen.add(owner)
    else if (REQUIRES_A_VARIABLE.test(readFileSync(path, 'utf8'))) {
      seen.add(owner)
      for (const name of peers) addInstalled(drivers, name, owner)
    }
  }
  return drivers
}

function optionalPeers(owner: string): string[] {
  const meta = readPackageJson(owner)?.peerDependenciesMeta ?? {}
  return Object.keys(meta).filter((name) => meta[name]?.optional === true && !name.startsWith('@types/'))
}

function addInstalled(drivers: Map<string, string>, name: string, owner: string): void {
  const folder = findPackage(name, owner)
  if (folder === null) return
  try {
    const needed = layOutPackages(new Map([[name, folder]]))
    if (needed.every((part) => part.folder !== owner)) drivers.set(name, folder)
  } catch {
    // Not installed whole: it fails when it is required, as in Node.
  }
}
