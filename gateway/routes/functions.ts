// Owns the routes of functions, versions and aliases. How they look: function-view.ts; deploying: deploy.ts.
import { z } from 'zod'
import { type FunctionEntry, RegistryError } from '../../worker/registry/api.ts'
import { fateIn } from '../../worker/registry/deployed.ts'
import { answerJson } from '../json-portions.ts'
import { deployRoute } from './deploy.ts'
import { functionView, queueView, startsView, versionView } from './function-view.ts'
import {
  answerByName,
  answerPage,
  bodySchema,
  functionOf,
  nameOf,
  namespaceOf,
  pageOf,
  parseBody,
  readJson,
  wholeOf,
} from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

/** Versions that one alias may split calls between. */
const MOST_WEIGHTS = 64
const AliasBody = z.strictObject({
  weights: z
    .record(z.string().max(9).regex(/^\d+$/, 'expected a version number'), z.number().min(0).max(100))
    .refine((weights) => Object.keys(weights).length <= MOST_WEIGHTS, `expected at most ${MOST_WEIGHTS} versions`)
    .meta({ maxProperties: MOST_WEIGHTS }),
})

export function functionRoutes(parts: ControlParts): Route[] {
  const { registry } = parts
  return [
    {
      method: 'GET',
      path: '/v1/functions',
      id: 'listFunctions',
      summary: 'All functions of the namespace, by name',
      query: { limit: 'at most this many', after: 'only names after this one' },
      answers: { 200: { doc: 'functions', schema: 'Function[]' } },
      handle: async (context) => {
        const view = async (entry: FunctionEntry) => {
          return { ...functionView(entry, context, parts), queue: await queueView(entry, parts.lane) }
        }
        const page = (after: string | null, limit: number) => registry.page(namespaceOf(context), after, limit)
        return await answerByName(context, page, view)
      },
    },
    deployRoute(parts),
    {
      method: 'GET',
      path: '/v1/functions/{name}',
      id: 'getFunction',
      summary: 'A function with its versions and aliases',
      answers: { 200: { doc: 'the function', schema: 'Function' } },
      handle: async (context) => {
        const entry = functionOf(context, parts)
        const starts = await startsView(entry, parts.worker)
        const queue = await queueView(entry, parts.lane)
        return answerJson(context, { ...functionView(entry, context, parts), starts, queue })
      },
    },
    {
      method: 'DELETE',
      path: '/v1/functions/{name}',
      id: 'removeFunction',
      summary: 'Removes a function with all its versions; refused while calls of it are queued',
      answers: { 204: { doc: 'gone' }, 409: { doc: 'calls are queued', schema: 'Problem' } },
      handle: (context) => removeFunction(context, parts),
    },
    {
      method: 'GET',
      path: '/v1/functions/{name}/versions',
      id: 'listVersions',
      summary: 'The versions of a function, oldest first',
      query: { limit: 'at most this many', after: 'only versions after this one' },
      answers: { 200: { doc: 'versions', schema: 'Version[]' } },
      handle: (context) => {
        const page = pageOf(context)
        const after = wholeOf(context, 'after', 0, 999_999_999) ?? 0
        const versions = functionOf(context, parts).versions.filter((version) => version.version > after)
        return answerPage(context, versions.map(versionView), page, (version) => String(version.version))
      },
    },
    {
      method: 'DELETE',
      path: '/v1/functions/{name}/versions/{version}',
      id: 'removeVersion',
      summary: 'Removes a version that no alias names; refused while calls of the function are queued',
      answers: { 204: { doc: 'gone' }, 409: { doc: 'it is needed', schema: 'Problem' } },
      handle: (context) => removeVersion(context, parts),
    },
    ...aliasRoutes(parts),
  ]
}

function aliasRoutes(parts: ControlParts): Route[] {
  const { registry } = parts
  return [
    {
      method: 'PUT',
      path: '/v1/functions/{name}/aliases/{alias}',
      id: 'setAlias',
      summary: 'Points an alias at one version, or splits its calls over several by whole percents',
      body: { type: 'application/json', doc: '{"weights": {"3": 90, "4": 10}}', schema: bodySchema(AliasBody) },
      answers: { 200: { doc: 'the alias', schema: 'Alias' }, 400: { doc: 'not valid', schema: 'Problem' } },
      handle: async (context) => {
        const { name, alias } = namesOf(context)
        const document = await readJson(context.env.incoming)
        const body = parseBody(AliasBody, document, '{"weights": {"VERSION": PERCENT, …}}')
        const entry = await registry.setAlias(namespaceOf(context), name, alias, body)
        return context.json({
          alias,
          weights: (Object.hasOwn(entry.aliases, alias) ? entry.aliases[alias]?.weights : undefined) ?? body.weights,
        })
      },
    },
    {
      method: 'DELETE',
      path: '/v1/functions/{name}/aliases/{alias}',
      id: 'removeAlias',
      summary: 'Removes an alias; latest stays',
      answers: { 204: { doc: 'gone' } },
      handle: async (context) => {
        const { name, alias } = namesOf(context)
        await registry.removeAlias(namespaceOf(context), name, alias)
        return context.body(null, 204)
      },
    },
  ]
}

function namesOf(context: ControlContext): { name: string; alias: string } {
  return { name: nameOf(context), alias: context.req.param('alias') ?? '' }
}

async function removeVersion(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { registry, worker } = parts
  const { namespace, name } = functionOf(context, parts)
  const text = context.req.param('version') ?? ''
  const version = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : null
  if (version === null)
    throw new RegistryError(
      'VERSION_NOT_FOUND',
      `expected a version's number, got ${JSON.stringify(text.slice(0, 80))}`,
    )
  // Each of them runs the version it was accepted for.
  await expectNoneQueued(namespace, name, parts)
  await registry.removeVersion(namespace, name, version)
  await worker.retire((kept) => fateIn(registry, kept), { namespace, name })
  return context.body(null, 204)
}

async function expectNoneQueued(namespace: string, name: string, { lane }: ControlParts): Promise<void> {
  const queued = lane === null ? 0 : await lane.backlog(namespace, name)
  if (queued > 0)
    throw new RegistryError('VERSION_IN_USE', `${queued} calls of ${name} are queued; cancel them or wait for them`)
}

async function removeFunction(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { registry, lane, worker } = parts
  const { namespace, name } = functionOf(context, parts)
  await expectNoneQueued(namespace, name, parts)
  // ORDER: schedules first: none may queue a call of a function that is gone.
  await parts.schedules?.removeAll(namespace, name)
  await registry.removeFunction(namespace, name)
  // A function of this name that is deployed later is another one, and nobody paused it.
  await lane?.pauseFunction(namespace, name, false)
  await worker.retire((version) => fateIn(registry, version), { namespace, name })
  return context.body(null, 204)
}
