// Owns the routes of named volumes: make, list, show, remove. Which functions use one is read from the registry.
import { z } from 'zod'
import { parseBytes, type Volume } from '../../runtime/api.ts'
import { isDnsLabel } from '../../worker/registry/names.ts'
import { VolumeQuota } from '../../worker/registry/volume-quota.ts'
import { GatewayError } from '../errors.ts'
import { answerByName, bodySchema, namespaceOf, pageIn, parseBody, readJson } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const DEFAULT_SIZE = '1g'
const Body = z.strictObject({
  size: z.union([z.string().max(32), z.number().min(0).max(Number.MAX_SAFE_INTEGER)]).optional(),
})

export function volumeRoutes(parts: ControlParts): Route[] {
  const { volumes, quotas = null } = parts
  const volumeQuota = volumes === undefined ? null : new VolumeQuota(volumes, quotas)
  return [
    {
      method: 'GET',
      path: '/v1/volumes',
      id: 'listVolumes',
      summary: 'The named volumes of the namespace, by name',
      query: { limit: 'at most this many', after: 'only names after this one' },
      answers: { 200: { doc: 'volumes', schema: 'Volume[]' } },
      handle: async (context) => {
        const namespace = namespaceOf(context)
        const all = (await storeOf(parts).list(namespace)).map((volume) => ({ name: nameIn(volume), volume }))
        return answerByName(context, pageIn(all), ({ volume }) => view(volume, parts))
      },
    },
    {
      method: 'GET',
      path: '/v1/volumes/{name}',
      id: 'getVolume',
      summary: 'A named volume',
      answers: { 200: { doc: 'the volume', schema: 'Volume' }, 404: { doc: 'there is none', schema: 'Problem' } },
      handle: async (context) => context.json(view(await volumeOf(context, parts), parts)),
    },
    {
      method: 'PUT',
      path: '/v1/volumes/{name}',
      id: 'setVolume',
      summary: `Makes a named volume, ${DEFAULT_SIZE} unless a size is said`,
      body: { type: 'application/json', doc: '{"size": "1g"}, or nothing', optional: true, schema: bodySchema(Body) },
      answers: {
        201: { doc: 'the new volume', schema: 'Volume' },
        200: { doc: 'it was there, with that size', schema: 'Volume' },
        409: { doc: 'it is there with another size', schema: 'Problem' },
      },
      handle: async (context) => {
        const name = nameOf(context)
        const document = await readJson(context.env.incoming, {})
        const { size = DEFAULT_SIZE } = parseBody(Body, document, '{"size": "1g"}')
        const bytes = typeof size === 'number' ? size : parseBytes(size)
        storeOf(parts)
        const { volume, created } = await volumeQuota!.create(namespaceOf(context), name, bytes)
        return context.json(view(volume, parts), created ? 201 : 200)
      },
    },
    {
      method: 'DELETE',
      path: '/v1/volumes/{name}',
      id: 'removeVolume',
      summary: 'Removes a named volume with all that is in it; refused while a function names it',
      answers: { 204: { doc: 'gone' }, 409: { doc: 'it is in use', schema: 'Problem' } },
      handle: async (context) => {
        const volume = await volumeOf(context, parts)
        const users = usersOf(volume.id, parts)
        if (users.length > 0)
          throw new GatewayError(
            'VOLUME_IN_USE',
            `functions name the volume: ${users.join(', ')}; remove or redeploy them first`,
          )
        await storeOf(parts).remove(volume.id)
        return context.body(null, 204)
      },
    },
  ]
}

function storeOf({ volumes }: ControlParts): NonNullable<ControlParts['volumes']> {
  if (volumes === undefined) throw new GatewayError('NOT_IMPLEMENTED', 'this platform has no volumes')
  return volumes
}

function nameOf(context: ControlContext): string {
  const name = context.req.param('name') ?? ''
  if (isDnsLabel(name) && name !== 'tmpfs') return name
  throw new GatewayError(
    'NAME_INVALID',
    `volume name ${JSON.stringify(name.slice(0, 80))}: expected a DNS label other than tmpfs`,
  )
}

async function volumeOf(context: ControlContext, parts: ControlParts): Promise<Volume> {
  const name = nameOf(context)
  const volume = await storeOf(parts).get(`${namespaceOf(context)}/${name}`)
  if (volume === null)
    throw new GatewayError('VOLUME_NOT_FOUND', `there is no volume ${name}; make it: fn volume create ${name}`)
  return volume
}

/** Functions with a version that names the volume. */
function usersOf(id: string, { registry }: ControlParts): string[] {
  const [namespace = '', name = ''] = id.split('/')
  return registry.users(namespace, 'volume', name)
}

function nameIn({ id }: Volume): string {
  return id.slice(id.indexOf('/') + 1)
}

function view(volume: Volume, parts: ControlParts) {
  const [namespace = '', name = ''] = volume.id.split('/')
  const { sizeBytes, usedBytes, createdAtMs } = volume
  const createdAt = new Date(createdAtMs).toISOString()
  return { namespace, name, sizeBytes, usedBytes, createdAt, functions: usersOf(volume.id, parts) }
}
