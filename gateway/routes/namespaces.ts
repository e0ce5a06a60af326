// Owns the routes of namespaces: the list, and their quotas: use against bound, and changing bounds. A namespace exists from the first
// thing in it, so an empty one can be shown and given quotas as well.
import { UnitError } from '../../runtime/api.ts'
import { checkNamespace } from '../../worker/registry/names.ts'
import { isQuotaKey, parseQuota, QUOTAS } from '../../worker/registry/quota-table.ts'
import type { QuotaChanges } from '../../worker/registry/quotas.ts'
import { didYouMean } from '../../worker/registry/suggest.ts'
import { GatewayError } from '../errors.ts'
import { answerByName, nameOf, pageIn, readJson } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const EXPECTED = '{"functions": 20, "memory": "1g", "sandboxes": "none"}; "default" goes back to the default'

const CHANGE = {
  anyOf: [
    { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    { type: 'string', maxLength: 64 },
    { type: 'null' },
  ],
}
const CHANGES = {
  type: 'object',
  properties: Object.fromEntries(QUOTAS.map(({ key }) => [key, CHANGE])),
  additionalProperties: false,
}

export function namespaceRoutes(parts: ControlParts): Route[] {
  const path = '/v1/namespaces/{name}'
  return [
    {
      method: 'GET',
      path: '/v1/namespaces',
      id: 'listNamespaces',
      summary: 'The namespaces by name; a token of a namespace gets only that one',
      query: { limit: 'at most this many', after: 'only names after this one' },
      answers: { 200: { doc: 'namespaces', schema: 'NamespaceSummary[]' } },
      handle: async (context) => {
        const sandboxes = await sandboxesIn(context.env.outgoing.caller?.namespace ?? null, parts)
        const names = pageIn(await namesFor(context, parts))
        return await answerByName(context, names, (one) => summary(one, sandboxes, parts))
      },
    },
    {
      method: 'GET',
      path,
      id: 'getNamespace',
      summary: 'A namespace: what it has, and its quotas with use against bound',
      answers: { 200: { doc: 'the namespace', schema: 'Namespace' } },
      handle: async (context) => {
        const namespace = namespaceIn(context)
        const shown = summary({ name: namespace }, await sandboxesIn(namespace, parts), parts)
        return context.json({ ...shown, quotas: await quotasOf(parts).view(namespace) } as never)
      },
    },
    {
      method: 'GET',
      path: `${path}/quotas`,
      id: 'getQuotas',
      summary: 'The quotas of a namespace: use against bound, and where the bound comes from',
      answers: { 200: { doc: 'the quotas by key', schema: 'Quotas' } },
      handle: async (context) => context.json((await quotasOf(parts).view(namespaceIn(context))) as never),
    },
    {
      method: 'PUT',
      path: `${path}/quotas`,
      id: 'setQuotas',
      summary: 'Changes the bounds it names and leaves the others; needs the platform’s own token',
      body: { type: 'application/json', doc: EXPECTED, schema: CHANGES },
      answers: { 200: { doc: 'the quotas by key', schema: 'Quotas' }, 400: { doc: 'not valid', schema: 'Problem' } },
      handle: async (context) => {
        const namespace = namespaceIn(context)
        await quotasOf(parts).set(namespace, parseChanges(await readJson(context.env.incoming)))
        return context.json((await quotasOf(parts).view(namespace)) as never)
      },
    },
  ]
}

/** Throws GatewayError BAD_REQUEST with all that is wrong. */
function parseChanges(document: unknown): QuotaChanges {
  if (document === null || typeof document !== 'object' || Array.isArray(document))
    throw new GatewayError('BAD_REQUEST', `expected ${EXPECTED}`)
  const changes: Record<string, number | null | 'default'> = {}
  const problems: string[] = []
  const entries = Object.entries(document)
  if (entries.length > QUOTAS.length)
    throw new GatewayError('BAD_REQUEST', `expected at most ${QUOTAS.length} quotas, got ${entries.length}`)
  for (const [key, value] of entries) {
    try {
      changes[key] = parseChange(key, value)
    } catch (error) {
      if (!(error instanceof UnitError)) throw error
      problems.push(error.message)
    }
  }
  if (problems.length > 0) throw new GatewayError('BAD_REQUEST', problems.join('; '))
  return changes
}

function parseChange(key: string, value: unknown): number | null | 'default' {
  if (!isQuotaKey(key)) {
    const keys = QUOTAS.map((quota) => quota.key)
    const near = didYouMean(key, keys) || `; known: ${keys.join(' ')}`
    throw new UnitError(`there is no quota ${JSON.stringify(key.slice(0, 80))}${near}`)
  }
  return value === 'default' ? 'default' : parseQuota(key, value)
}

/** The namespace the path names. Throws RegistryError NAME_INVALID | GatewayError FORBIDDEN for another one than the token's. */
function namespaceIn(context: ControlContext): string {
  const name = nameOf(context)
  const { caller } = context.env.outgoing
  if (caller?.namespace != null && caller.namespace !== name)
    throw new GatewayError('FORBIDDEN', `the token ${caller.name} is only for namespace ${caller.namespace}`)
  checkNamespace(name)
  return name
}

async function namesFor(context: ControlContext, parts: ControlParts): Promise<{ readonly name: string }[]> {
  const own = context.env.outgoing.caller?.namespace ?? null
  if (own !== null) return [{ name: own }]
  const { registry, secrets, tokens, networks, volumes, quotas } = parts
  const inVolumes = (await volumes?.list())?.map(({ id }) => id.slice(0, id.indexOf('/'))) ?? []
  const books = [secrets, tokens, networks, quotas].flatMap((book) => [...(book?.namespaces() ?? [])])
  const names = new Set([...registry.namespaces(), ...books, ...inVolumes])
  return [...names].sort().map((name) => ({ name }))
}

/** Sandboxes by namespace, on all workers. */
async function sandboxesIn(namespace: string | null, { fleet, worker }: ControlParts): Promise<Map<string, number>> {
  const all = fleet ? await fleet.sandboxes(namespace) : worker.sandboxes(namespace)
  const counts = new Map<string, number>()
  for (const sandbox of all) counts.set(sandbox.namespace, (counts.get(sandbox.namespace) ?? 0) + 1)
  return counts
}

function summary(
  { name }: { readonly name: string },
  sandboxes: ReadonlyMap<string, number>,
  { registry, secrets, tokens }: ControlParts,
) {
  return {
    name,
    functions: registry.count(name),
    secrets: secrets?.count(name) ?? 0,
    tokens: tokens?.count(name) ?? 0,
    sandboxes: sandboxes.get(name) ?? 0,
  }
}

function quotasOf({ quotas }: ControlParts): NonNullable<ControlParts['quotas']> {
  if (quotas === undefined) throw new GatewayError('NOT_IMPLEMENTED', 'this platform has no quotas')
  return quotas
}
