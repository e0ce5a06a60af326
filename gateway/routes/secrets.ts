// Owns the routes of secrets: set, list, show that one is there, remove. A value goes in and never comes back.
import { MAX_SECRET_BYTES, type SecretView } from '../../worker/registry/secrets.ts'
import { GatewayError } from '../errors.ts'
import { RequestBody } from '../invocation/request-body.ts'
import { answerByName, nameOf, namespaceOf } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

/** A little above the largest value, so that the registry says what is wrong. */
const MOST_BYTES = 64 * 1024

export function secretRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/secrets',
      id: 'listSecrets',
      summary: 'Names of the secrets of the namespace; never values',
      query: { limit: 'at most this many', after: 'only names after this one' },
      answers: { 200: { doc: 'secrets', schema: 'Secret[]' } },
      handle: (context) =>
        answerByName(
          context,
          (after, limit) => secretsOf(parts).page(namespaceOf(context), after, limit),
          (secret) => view(secret, parts),
        ),
    },
    {
      method: 'GET',
      path: '/v1/secrets/{name}',
      id: 'getSecret',
      summary: 'That a secret is set, and since when',
      answers: {
        200: { doc: 'the secret without its value', schema: 'Secret' },
        404: { doc: 'not set', schema: 'Problem' },
      },
      handle: (context) => context.json(view(secretsOf(parts).get(namespaceOf(context), nameOf(context)), parts)),
    },
    {
      method: 'PUT',
      path: '/v1/secrets/{name}',
      id: 'setSecret',
      summary: 'Sets or replaces a secret; sandboxes get the new value as they are replaced, without a deploy',
      body: {
        type: 'application/octet-stream',
        doc: 'the value as it is, UTF-8, at most 64 KiB',
        schema: { type: 'string', maxLength: MAX_SECRET_BYTES },
      },
      answers: {
        201: { doc: 'set', schema: 'Secret' },
        200: { doc: 'replaced', schema: 'Secret' },
        400: { doc: 'not a valid name or value', schema: 'Problem' },
      },
      handle: async (context) => {
        const namespace = namespaceOf(context)
        expectOneKey(parts)
        const value = await readValue(context)
        const { secret, created } = await secretsOf(parts).set(namespace, nameOf(context), value)
        return context.json(view(secret, parts), created ? 201 : 200)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/secrets/{name}',
      id: 'removeSecret',
      summary: 'Forgets a secret; refused while a function names it',
      answers: { 204: { doc: 'gone' }, 409: { doc: 'functions name it', schema: 'Problem' } },
      handle: async (context) => {
        const namespace = namespaceOf(context)
        const { name } = secretsOf(parts).get(namespace, nameOf(context))
        const users = usersOf(namespace, name, parts)
        if (users.length > 0)
          throw new GatewayError(
            'SECRET_IN_USE',
            `functions name the secret: ${users.join(', ')}; remove or redeploy them first`,
          )
        await secretsOf(parts).remove(namespace, name)
        return context.body(null, 204)
      },
    },
  ]
}

function secretsOf({ secrets }: ControlParts): NonNullable<ControlParts['secrets']> {
  if (secrets === undefined) throw new GatewayError('NOT_IMPLEMENTED', 'this platform has no secrets')
  return secrets
}

/** A secret that a worker could not read would fail its functions' calls, and nobody would know why. */
function expectOneKey({ secrets, fleet }: ControlParts): void {
  const other = fleet?.members().find(({ secretKeyId }) => secretKeyId !== secrets?.keyId)
  if (other === undefined) return
  throw new GatewayError(
    'SECRET_INVALID',
    `${other.role} ${other.id} on ${other.hostName} has another key and could not read it; start all with the same FN_SECRET_KEY_FILE (here it is \`secret-key\` in the state directory, unless that is set)`,
  )
}

async function readValue(context: ControlContext): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of new RequestBody(context.env.incoming, MOST_BYTES)) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function view(secret: SecretView, parts: ControlParts) {
  return { ...secret, functions: usersOf(secret.namespace, secret.name, parts) }
}

/** Functions with a version that names the secret. */
function usersOf(namespace: string, name: string, { registry }: ControlParts): string[] {
  return registry.users(namespace, 'secret', name)
}
