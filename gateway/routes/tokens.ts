// Owns the routes of tokens: make (the one answer that has the token itself), list, show, remove.
import { z } from 'zod'
import { parseDurationMs, UnitError } from '../../runtime/api.ts'
import { SCOPES, type TokenRate, tokenKey } from '../../worker/registry/tokens.ts'
import { GatewayError } from '../errors.ts'
import { answerPage, bodySchema, givenNamespace, nameOf, namespaceOf, pageOf, parseBody, readJson } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const Body = z.strictObject({
  scopes: z.array(z.enum(SCOPES)).min(1).max(16),
  expires: z.string().max(32).optional(),
  rate: z.string().max(32).optional(),
})
const EXPECTED = '{"scopes": ["invoke", "deploy", "admin"], "expires": "30d", "rate": "100/s"}, scopes at least one'
const MOST_DAYS_MS = 3650 * 86_400_000

export function tokenRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/tokens',
      id: 'listTokens',
      summary:
        'Tokens by namespace and name, never their values; of all namespaces unless Fn-Namespace or the token says one',
      query: { limit: 'at most this many', after: 'only those after this NAMESPACE/NAME, as Link says it' },
      answers: { 200: { doc: 'tokens', schema: 'Token[]' } },
      handle: (context) => list(context, parts),
    },
    {
      method: 'GET',
      path: '/v1/tokens/{name}',
      id: 'getToken',
      summary: 'A token without its value',
      answers: { 200: { doc: 'the token', schema: 'Token' }, 404: { doc: 'there is none', schema: 'Problem' } },
      handle: (context) => context.json(tokensOf(parts).get(namespaceOf(context), nameOf(context)) as never),
    },
    {
      method: 'PUT',
      path: '/v1/tokens/{name}',
      id: 'setToken',
      summary: 'Makes a token for the namespace; its value is in this answer and nowhere else',
      body: { type: 'application/json', doc: EXPECTED, schema: bodySchema(Body) },
      answers: {
        201: { doc: 'the token with its value', schema: 'NewToken' },
        409: { doc: 'it exists', schema: 'Problem' },
      },
      handle: (context) => create(context, parts),
    },
    {
      method: 'DELETE',
      path: '/v1/tokens/{name}',
      id: 'removeToken',
      summary: 'Removes a token; it is refused from then on',
      answers: { 204: { doc: 'gone' }, 404: { doc: 'there is none', schema: 'Problem' } },
      handle: async (context) => {
        await tokensOf(parts).remove(namespaceOf(context), nameOf(context))
        return context.body(null, 204)
      },
    },
  ]
}

function list(context: ControlContext, parts: ControlParts): Response {
  const page = pageOf(context)
  const found = tokensOf(parts).page(givenNamespace(context), page.after, page.limit + 1)
  return answerPage(context, found as never[], page, tokenKey)
}

async function create(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { scopes, expires, rate } = parseBody(Body, await readJson(context.env.incoming), EXPECTED)
  const { token, value } = await tokensOf(parts).create({
    namespace: namespaceOf(context),
    name: nameOf(context),
    scopes,
    expiresInMs: expires === undefined ? null : parseExpiry(expires),
    rate: rate === undefined ? null : parseRate(rate),
  })
  context.header('Cache-Control', 'no-store')
  return context.json({ ...token, token: value } as never, 201)
}

function parseExpiry(text: string): number {
  const ms = parseDurationMs(text)
  if (ms >= 1 && ms <= MOST_DAYS_MS) return ms
  throw new UnitError(`expires: expected a duration of at most 3650d, got ${JSON.stringify(text.slice(0, 80))}`)
}

/** `100/s`, `600/m`, `10000/h`. Throws UnitError. */
export function parseRate(text: string): TokenRate {
  const match = /^(\d{1,9})\/(s|m|h)$/.exec(text)
  const count = Number(match?.[1])
  if (match === null || count < 1)
    throw new UnitError(
      `rate: expected calls per time such as 100/s or 600/m, got ${JSON.stringify(text.slice(0, 80))}`,
    )
  return { count, windowMs: parseDurationMs(`1${match[2]}`) }
}

function tokensOf({ tokens }: ControlParts): NonNullable<ControlParts['tokens']> {
  if (tokens === undefined) throw new GatewayError('NOT_IMPLEMENTED', 'this platform has no tokens but its own')
  return tokens
}
