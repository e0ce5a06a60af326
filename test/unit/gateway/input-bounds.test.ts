// Every string, list, number and map that comes in has a bound: the declared schemas are walked, and what has none is named.
import { describe, expect, test } from 'vitest'
import { controlRoutes } from '../../../gateway/app.ts'
import { openApiDocument } from '../../../gateway/openapi.ts'
import { functionConfigSchema } from '../../../worker/registry/config-shape.ts'

type Schema = Record<string, unknown>

/** Paths of all that has no bound. */
function unbounded(schema: unknown, at: string): string[] {
  if (typeof schema !== 'object' || schema === null) return schema === false ? [] : [at]
  const node = schema as Schema
  for (const key of ['anyOf', 'oneOf', 'allOf'])
    if (Array.isArray(node[key])) return node[key].flatMap((one, index) => unbounded(one, `${at}.${key}[${index}]`))
  if (node.enum !== undefined || node.const !== undefined) return []
  const types = [node.type].flat()
  // Any JSON at all: bounded in bytes and depth as a whole.
  if (node.type === undefined) return node['x-maxBytes'] && node['x-maxDepth'] ? [] : [at]
  return types.flatMap((type) => unboundedOf(type, node, at))
}

function unboundedOf(type: unknown, node: Schema, at: string): string[] {
  const has = (key: string) => typeof node[key] === 'number'
  if (type === 'boolean' || type === 'null') return []
  if (type === 'string') return has('maxLength') ? [] : [`${at}: a text without maxLength`]
  if (type === 'integer' || type === 'number') {
    const lowest = has('minimum') || has('exclusiveMinimum')
    const highest = has('maximum') || has('exclusiveMaximum')
    return lowest && highest ? [] : [`${at}: a number without minimum and maximum`]
  }
  if (type === 'array')
    return [...(has('maxItems') ? [] : [`${at}: a list without maxItems`]), ...unbounded(node.items, `${at}[]`)]
  if (type === 'object') return unboundedMap(node, at)
  return [`${at}: of type ${type}`]
}

function unboundedMap(node: Schema, at: string): string[] {
  const { properties = {}, additionalProperties, propertyNames } = node as { properties?: Schema } & Schema
  const named = Object.entries(properties).flatMap(([key, value]) => unbounded(value, `${at}.${key}`))
  if (additionalProperties === false) return named
  if (additionalProperties === undefined) return [...named, `${at}: a map that may have any keys`]
  return [
    ...named,
    ...unbounded(additionalProperties, `${at}.*`),
    ...(typeof node.maxProperties === 'number' ? [] : [`${at}: a map without maxProperties`]),
    ...(propertyNames === undefined
      ? [`${at}: a map without a bound of its keys`]
      : unbounded(propertyNames, `${at} (keys)`)),
  ]
}

interface Operation {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: unknown }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: unknown }>> }
}

const document = openApiDocument(controlRoutes({} as never), '1.0.0') as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ at: `${method.toUpperCase()} ${path}`, operation })),
)

describe('every input has a bound', () => {
  test('there are operations to walk', () => {
    expect(operations.length).toBeGreaterThan(40)
    expect(operations.filter(({ operation }) => operation.requestBody !== undefined).length).toBeGreaterThan(6)
  })

  test('each parameter of each operation: path, query and header', () => {
    const found = operations.flatMap(({ at, operation }) =>
      operation.parameters.flatMap((one) => unbounded(one.schema, `${at} ${one.in} ${one.name}`)),
    )
    expect(found).toEqual([])
  })

  test('each body', () => {
    const found = operations.flatMap(({ at, operation }) =>
      Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, { schema }]) =>
        unbounded(schema, `${at} ${type}`),
      ),
    )
    expect(found).toEqual([])
  })

  test('each key of fn.json', () => {
    expect(unbounded(functionConfigSchema(), 'fn.json')).toEqual([])
  })

  test('and the walk finds what has none', () => {
    const bad: [unknown, RegExp][] = [
      [{ type: 'string' }, /maxLength/],
      [{ type: 'array', items: { type: 'boolean' } }, /maxItems/],
      [{ type: 'array', maxItems: 3, items: { type: 'integer', minimum: 0 } }, /maximum/],
      [{ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }, /maxLength/],
      [
        { type: 'object', additionalProperties: { type: 'boolean' }, propertyNames: { type: 'string', maxLength: 3 } },
        /maxProperties/,
      ],
      [{ type: 'object', additionalProperties: { type: 'boolean' }, maxProperties: 3 }, /keys/],
      [{}, /x/],
      [{ anyOf: [{ type: 'boolean' }, { type: 'number' }] }, /number/],
    ]
    for (const [schema, why] of bad) expect(unbounded(schema, 'x').join()).toMatch(why)
  })
})
