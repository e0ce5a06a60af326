// Owns the rows of the surface that exist in name alone so far: each answers 501, so that a client learns it is not a typing
// mistake of its own.
import { GatewayError } from '../errors.ts'
import type { Route } from './route.ts'

const ROWS: readonly (readonly [Route['method'], string, string, string])[] = [...rowsOf('networks')]

function rowsOf(what: string): (readonly [Route['method'], string, string, string])[] {
  const word = `${what[0]!.toUpperCase()}${what.slice(1)}`
  return [
    ['GET', `/v1/${what}`, `list${word}`, what],
    ['GET', `/v1/${what}/{name}`, `get${word}`, what],
    ['PUT', `/v1/${what}/{name}`, `set${word}`, what],
    ['DELETE', `/v1/${what}/{name}`, `remove${word}`, what],
  ]
}

export function notBuiltRoutes(): Route[] {
  return ROWS.map(([method, path, id, what]) => ({
    method,
    path,
    id,
    summary: `Not built yet: ${what}`,
    answers: { 501: { doc: 'not built yet', schema: 'Problem' } },
    handle: () => {
      throw new GatewayError('NOT_IMPLEMENTED', `${what}: not built yet`)
    },
  }))
}
