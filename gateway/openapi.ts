// Owns the OpenAPI 3.1 document: made from the route table, so that no route can be missing from it, plus the invocation routes,
// which the router never sees.
import { LIMITS } from '../runtime/api.ts'
import { headerSchema, pathSchema, querySchema } from './input-bounds.ts'
import { API_SCHEMAS } from './openapi-schemas.ts'
import type { Route } from './routes/route.ts'

/** The whole document as JSON data. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = { ...INVOCATION_PATHS }
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Thaw', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: {
      schemas: API_SCHEMAS,
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
    security: [{ token: [] }],
  }
}

function operationOf(route: Route): object {
  return {
    operationId: route.id,
    summary: route.summary,
    ...(route.open ? { security: [] } : {}),
    parameters: [...pathParameters(route.path), ...queryParameters(route), ...(route.handle === null ? QUEUEING : [])],
    ...(route.body
      ? {
          requestBody: {
            required: route.body.optional !== true,
            description: route.body.doc,
            content: { [route.body.type]: { schema: route.body.schema } },
          },
        }
      : {}),
    responses: answersOf(route),
  }
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map((match) => ({
    name: match[1],
    in: 'path',
    required: true,
    schema: pathSchema(match[1] ?? ''),
  }))
}

function queryParameters(route: Route): object[] {
  return Object.entries(route.query ?? {}).map(([name, doc]) => ({
    name,
    in: 'query',
    description: doc,
    schema: querySchema(name),
  }))
}

function answersOf(route: Route): object {
  const answers: Record<string, { readonly description: string; readonly content?: object }> = {}
  for (const [status, { doc, schema, type }] of Object.entries(route.answers))
    answers[status] = { description: doc, ...contentOf(schema, type) }
  // Whatever else an answer may be, a failure of ours is a problem.
  const { description, content } = answers.default ?? { description: 'any failure' }
  answers.default = { description, content: { ...contentOf('Problem').content, ...content } }
  return answers
}

function contentOf(schema?: string, type?: string): { content?: object } {
  if (schema === undefined) return type === undefined ? {} : { content: { [type]: {} } }
  const list = schema.endsWith('[]')
  const item = { $ref: `#/components/schemas/${list ? schema.slice(0, -2) : schema}` }
  const media = type ?? (schema === 'Problem' ? 'application/problem+json' : 'application/json')
  return { content: { [media]: { schema: list ? { type: 'array', items: item } : item } } }
}

function headerCase(kebab: string): string {
  return kebab.replace(/(^|-)([a-z])/g, (_all, dash: string, letter: string) => `${dash}${letter.toUpperCase()}`)
}

function header(name: string, description: string): object {
  return { name, in: 'header', description, schema: headerSchema(name) }
}

/** Of calls that are queued. */
const QUEUEING = [
  header('Idempotency-Key', 'the same key and body: the same call'),
  header('Fn-Delay', 'not before so long, such as 10m'),
  header('Fn-Priority', '0, the default, goes first'),
  header('Fn-Max-Attempts', 'runs before it has failed'),
  header('Fn-Max-Age', 'no run begins after so long'),
  header('Fn-Callback', 'a URL that is told of the end'),
]

const INVOKE = {
  summary: 'Calls a function and answers with its response; Prefer: respond-async queues it and answers 202',
  security: [{}, { token: [] }],
  responses: {
    default: {
      description: "the function's own response, or a problem",
      content: { ...contentOf('Problem').content, '*/*': {} },
    },
    202: { description: 'queued; see Location', ...contentOf('Accepted') },
  },
}
const INVOKE_PARAMETERS = [
  header('Prefer', 'respond-async: queue the call'),
  header('Fn-Namespace', 'where the function is'),
  header('Fn-Timeout', 'time of this call'),
  header('Fn-Metering', 'trailer: what the call used, as a trailer'),
  header('Fn-Dispatch', 'durable: through the queue, and awaited'),
  ...LIMITS.filter(({ perCall }) => perCall).map(({ kebab, doc }) => header(`Fn-Limit-${headerCase(kebab)}`, doc)),
  ...QUEUEING,
]
const SPEC = {
  name: 'spec',
  in: 'path',
  required: true,
  schema: pathSchema('spec'),
  description: 'name, name@version or name@alias',
}
const REST = {
  name: 'path',
  in: 'path',
  required: true,
  schema: pathSchema('path'),
  description: 'what the function sees',
}
const INVOCATION_PATHS = {
  '/fn/{spec}': invocationPath('Root', [SPEC]),
  '/fn/{spec}/{path}': invocationPath('', [SPEC, REST]),
}

function invocationPath(at: string, parameters: readonly object[]): Record<string, object> {
  return Object.fromEntries(
    ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'].map((method) => [
      method,
      {
        operationId: `invoke${at}${method[0]!.toUpperCase()}${method.slice(1)}`,
        ...INVOKE,
        parameters: [...parameters, ...INVOKE_PARAMETERS],
      },
    ]),
  )
}
