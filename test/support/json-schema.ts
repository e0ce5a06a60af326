// Judges a value by a JSON schema, as far as the platform's own OpenAPI document uses the language: types, enumerations, formats
// of time, required properties, references. What a schema does not name may be there, too.

/** A schema, or a reference to one of the document's. */
export interface JsonSchema {
  readonly $ref?: string
  readonly anyOf?: readonly JsonSchema[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly type?: 'string' | 'number' | 'integer' | 'boolean' | 'array' | 'object' | 'null'
  readonly format?: 'date-time'
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: JsonSchema
  readonly items?: JsonSchema
}

export type Schemas = Readonly<Record<string, JsonSchema>>

const RFC3339_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/

/** What of `value` breaks `schema`, a line each, beginning with where. `schemas` are those references name. */
export function breaches(value: unknown, schema: JsonSchema, schemas: Schemas, at = '$'): string[] {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace('#/components/schemas/', '')
    const named = schemas[name]
    return named === undefined ? [`${at}: no schema ${name}`] : breaches(value, named, schemas, at)
  }
  if (schema.anyOf !== undefined) {
    const tried = schema.anyOf.map((one) => breaches(value, one, schemas, at))
    return tried.some((one) => one.length === 0) ? [] : tried.flat()
  }
  const shown = (JSON.stringify(value) ?? 'nothing').slice(0, 100)
  if (schema.const !== undefined && value !== schema.const) return [`${at}: expected ${schema.const}, got ${shown}`]
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${at}: expected one of ${schema.enum}, got ${shown}`]
  if (schema.type !== undefined && !hasType(value, schema.type)) return [`${at}: expected ${schema.type}, got ${shown}`]
  if (schema.format !== undefined && !RFC3339_UTC.test(String(value)))
    return [`${at}: expected a time in UTC, got ${shown}`]
  if (Array.isArray(value))
    return value.flatMap((each, index) => breaches(each, schema.items ?? {}, schemas, `${at}[${index}]`))
  return typeof value === 'object' && value !== null ? ofObject(value, schema, schemas, at) : []
}

function ofObject(value: object, schema: JsonSchema, schemas: Schemas, at: string): string[] {
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name))
  return [
    ...missing.map((name) => `${at}: ${name} is missing`),
    ...Object.entries(value).flatMap(([name, each]) =>
      breaches(each, schema.properties?.[name] ?? schema.additionalProperties ?? {}, schemas, `${at}.${name}`),
    ),
  ]
}

function hasType(value: unknown, type: NonNullable<JsonSchema['type']>): boolean {
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === type
}
