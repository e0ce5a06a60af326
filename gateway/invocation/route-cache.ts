// Owns the cache from `name[@reference]` to a version, so that a warm call does one map look-up. Whatever the registry
// changes empties it. Weighted aliases are cached as such and drawn anew for each id.
import type { FunctionVersion } from '../../worker/api.ts'
import { type Registry, RegistryError } from '../../worker/registry/api.ts'
import { drawOf } from './id.ts'

interface Route {
  readonly name: string
  readonly reference: string | null
  /** Null: the alias splits traffic. */
  readonly version: FunctionVersion | null
}

export class RouteCache {
  readonly #registry: Registry
  readonly #namespaces = new Map<string, Map<string, Route>>()
  readonly #unsubscribe: () => void

  constructor(registry: Registry) {
    this.#registry = registry
    this.#unsubscribe = registry.onChange(() => this.#namespaces.clear())
  }

  /** The version for `spec` (`name` or `name@reference`), fixed by `id`. Throws RegistryError. */
  find(namespace: string, spec: string, id: string): FunctionVersion {
    const route = this.#namespaces.get(namespace)?.get(spec) ?? this.#add(namespace, spec)
    return route.version ?? this.#registry.resolve(namespace, route.name, route.reference, drawOf(id))
  }

  close(): void {
    this.#unsubscribe()
  }

  // Only what the registry knows is kept, so that calls of unknown names cannot grow the map.
  #add(namespace: string, spec: string): Route {
    const at = spec.indexOf('@')
    const name = at < 0 ? spec : spec.slice(0, at)
    const reference = at < 0 ? null : spec.slice(at + 1)
    if (name === '') throw new RegistryError('FUNCTION_NOT_FOUND', 'the path names no function: /fn/{name}')
    if (reference === '') throw new RegistryError('VERSION_NOT_FOUND', `${name}@ names no version or alias`)
    const version = this.#registry.resolve(namespace, name, reference, 0)
    const { aliases } = this.#registry.get(namespace, name)
    const named = reference ?? 'latest'
    const alias = Object.hasOwn(aliases, named) ? aliases[named] : undefined
    const split = alias !== undefined && Object.keys(alias.weights).length > 1
    const route: Route = { name, reference, version: split ? null : version }
    const routes = this.#namespaces.get(namespace) ?? new Map<string, Route>()
    this.#namespaces.set(namespace, routes)
    routes.set(spec, route)
    return route
  }
}
