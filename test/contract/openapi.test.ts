// The OpenAPI document as a linter reads it: complete, consistent, and of use to a generator of clients.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema?: object
}
interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: object; readonly description?: string }
  readonly responses: Readonly<Record<string, { readonly description?: string; readonly content?: object }>>
  readonly security?: readonly object[]
}
interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, object>>
  readonly required?: readonly string[]
}
interface Document {
  readonly info: Readonly<Record<string, unknown>>
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly security: readonly Readonly<Record<string, unknown>>[]
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>
    readonly securitySchemes: Readonly<Record<string, object>>
  }
}

let gateway: TestGateway
let document: Document
beforeAll(async () => {
  gateway = await TestGateway.start()
  document = (await (await gateway.fetch('/openapi.json')).json()) as Document
})
afterAll(() => gateway.stop())

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']

function operations(): {
  readonly at: string
  readonly path: string
  readonly method: string
  readonly operation: Operation
}[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ at: `${method} ${path}`, path, method, operation })),
  )
}

/** What of the operations breaks a rule. */
function breaking(rule: (one: ReturnType<typeof operations>[number]) => boolean): string[] {
  return operations()
    .filter((one) => !rule(one))
    .map(({ at }) => at)
}

describe('every operation', () => {
  test('is a method of HTTP with an id that can be the name of a function, and a sentence', () => {
    expect(operations().length).toBeGreaterThan(40)
    expect(breaking(({ method }) => METHODS.includes(method))).toEqual([])
    expect(breaking(({ operation }) => /^[a-z][A-Za-z0-9]*$/.test(operation.operationId ?? ''))).toEqual([])
    expect(breaking(({ operation }) => (operation.summary ?? '').length > 3)).toEqual([])
  })

  test('declares exactly the parameters of its path, and says what each of its query is', () => {
    const named = (path: string) => [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort()
    const declared = (operation: Operation) =>
      (operation.parameters ?? []).filter((each) => each.in === 'path' && each.required === true && each.schema)
    expect(
      breaking(({ path, operation }) => {
        const names = declared(operation).map(({ name }) => name)
        return names.sort().join() === named(path).join()
      }),
    ).toEqual([])
    const queries = (operation: Operation) => (operation.parameters ?? []).filter((each) => each.in === 'query')
    expect(breaking(({ operation }) => queries(operation).every(({ description }) => description))).toEqual([])
  })

  test('has an answer that is no failure and one that is, each described', () => {
    const statuses = ({ responses }: Operation) => Object.keys(responses)
    expect(
      breaking(({ operation }) => statuses(operation).some((status) => /^[23]\d\d$|^default$/.test(status))),
    ).toEqual([])
    expect(breaking(({ operation }) => statuses(operation).includes('default'))).toEqual([])
    expect(breaking(({ operation }) => Object.values(operation.responses).every((each) => each.description))).toEqual(
      [],
    )
  })

  test('takes a body only where one is read', () => {
    expect(
      breaking(({ method, operation }) => !operation.requestBody || ['put', 'post', 'patch'].includes(method)),
    ).toEqual([])
  })
})

test('paths that differ by the name of a parameter alone are one path', () => {
  const shapes = Object.keys(document.paths).map((path) => path.replace(/\{\w+\}/g, '{}'))
  expect(new Set(shapes).size).toBe(shapes.length)
})

test('schemas require only what they have, and a scheme that is asked for is there', () => {
  for (const [name, { properties = {}, required = [] }] of Object.entries(document.components.schemas))
    expect(Object.keys(properties), name).toEqual(expect.arrayContaining([...required]))
  for (const asked of document.security.flatMap((one) => Object.keys(one)))
    expect(Object.keys(document.components.securitySchemes)).toContain(asked)
  expect(Object.keys(document.info)).toEqual(expect.arrayContaining(['title', 'version', 'license']))
})

test('a function answers at its name and below it', () => {
  for (const [path, names] of [
    ['/fn/{spec}', ['spec']],
    ['/fn/{spec}/{path}', ['spec', 'path']],
  ] as const) {
    const parameters = document.paths[path]?.get?.parameters ?? []
    expect(parameters.filter((each) => each.in === 'path').map(({ name }) => name)).toEqual(names)
    expect(parameters.map(({ name }) => name)).toEqual(expect.arrayContaining(['Prefer', 'Idempotency-Key']))
  }
})

test('every schema is used', () => {
  const used = new Set(
    [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map((match) => match[1]),
  )
  expect(Object.keys(document.components.schemas).filter((name) => !used.has(name))).toEqual([])
})
