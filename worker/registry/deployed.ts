// Questions about what is deployed that several ask: which functions use a thing, and whether a version is still there. Reads the
// registry's memory alone.
import type { FunctionConfig } from '../api.ts'
import type { Registry } from './api.ts'

/** Names of the namespace's functions with a version whose configuration `uses` it. */
export function functionsThat(
  uses: (config: FunctionConfig) => boolean,
  registry: Pick<Registry, 'list'>,
  namespace: string,
): string[] {
  return registry
    .list(namespace)
    .filter(({ versions }) => versions.some(({ config }) => uses(config)))
    .map(({ name }) => name)
}

export function isDeployed(
  registry: Pick<Registry, 'get'>,
  version: { readonly namespace: string; readonly name: string; readonly version: number },
): boolean {
  try {
    return registry.get(version.namespace, version.name).versions.some((kept) => kept.version === version.version)
  } catch {
    return false
  }
}
