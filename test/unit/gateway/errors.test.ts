import { describe, expect, test } from 'vitest'
import { ERRORS, GatewayError, refusalOf, refusalOfError, refusalOfFailure, statusOf } from '../../../gateway/errors.ts'
import { LimitError, RuntimeError, UnitError } from '../../../runtime/api.ts'
import { WorkerError } from '../../../worker/api.ts'
import { FAILURES } from '../../../worker/failures.ts'
import { QueueError } from '../../../worker/queue/api.ts'
import { RegistryError } from '../../../worker/registry/api.ts'

describe('the table of errors', () => {
  test('is this', () => {
    const rows = Object.entries(ERRORS).map(([code, row]) => `${row.status} ${code} ${row.component}`)
    expect(rows.toSorted()).toMatchInlineSnapshot(`
      [
        "400 ALIAS_INVALID gateway",
        "400 BAD_REQUEST gateway",
        "400 BODY_ABORTED gateway",
        "400 CONFIG_INVALID gateway",
        "400 DEPLOY_INVALID worker",
        "400 LIMIT_INVALID worker",
        "400 LIMIT_UNSUPPORTED worker",
        "400 NAME_INVALID gateway",
        "400 SCHEDULE_INVALID queue",
        "400 SECRET_INVALID gateway",
        "400 UPGRADE_UNSUPPORTED gateway",
        "400 VOLUME_INVALID worker",
        "401 UNAUTHORIZED gateway",
        "403 FORBIDDEN gateway",
        "403 FORBIDDEN_HOST gateway",
        "403 FORBIDDEN_ORIGIN gateway",
        "403 QUOTA_EXCEEDED gateway",
        "404 ALIAS_NOT_FOUND gateway",
        "404 DEAD_LETTER_NOT_FOUND queue",
        "404 FUNCTION_NOT_FOUND gateway",
        "404 INVOCATION_NOT_FOUND gateway",
        "404 NETWORK_NOT_FOUND gateway",
        "404 NOT_FOUND gateway",
        "404 RESULT_NOT_FOUND gateway",
        "404 SANDBOX_NOT_FOUND worker",
        "404 SCHEDULE_NOT_FOUND queue",
        "404 SECRET_NOT_FOUND gateway",
        "404 TOKEN_NOT_FOUND gateway",
        "404 VERSION_NOT_FOUND gateway",
        "404 VOLUME_NOT_FOUND worker",
        "405 METHOD_NOT_ALLOWED gateway",
        "408 REQUEST_TIMEOUT gateway",
        "409 LIMIT_BELOW_USE worker",
        "409 NETWORK_IN_USE gateway",
        "409 NOT_CANCELLABLE queue",
        "409 NOT_REDRIVABLE queue",
        "409 SANDBOX_STATE worker",
        "409 SECRET_IN_USE gateway",
        "409 TOKEN_EXISTS gateway",
        "409 VERSION_IN_USE queue",
        "409 VOLUME_EXISTS worker",
        "409 VOLUME_IN_USE worker",
        "410 INVOCATION_EXPIRED queue",
        "413 BODY_TOO_LARGE gateway",
        "417 EXPECTATION_FAILED gateway",
        "422 IDEMPOTENCY_MISMATCH queue",
        "429 FUNCTION_BUSY queue",
        "429 RATE_LIMITED gateway",
        "431 HEADERS_TOO_LARGE gateway",
        "499 CANCELLED worker",
        "499 CLIENT_GONE gateway",
        "499 CLIENT_SLOW gateway",
        "500 FUNCTION_THREW function",
        "500 IMAGE_CORRUPT worker",
        "500 INTERNAL gateway",
        "500 JOB_LOST queue",
        "501 NOT_IMPLEMENTED gateway",
        "502 FUNCTION_CRASHED function",
        "502 FUNCTION_INIT_FAILED function",
        "502 FUNCTION_INIT_TIMEOUT function",
        "502 FUNCTION_INVALID_RESPONSE function",
        "502 FUNCTION_KILLED sandbox",
        "502 FUNCTION_OUT_OF_MEMORY function",
        "502 FUNCTION_PROTOCOL function",
        "502 WORKER_LOST worker",
        "503 DRAINING worker",
        "503 HOST_FULL worker",
        "503 NOT_READY gateway",
        "503 PLATFORM_STALLED worker",
        "503 QUEUE_FULL queue",
        "503 QUEUE_UNAVAILABLE queue",
        "503 REGISTRY_UNAVAILABLE queue",
        "503 SANDBOX_CREATE_FAILED sandbox",
        "504 FUNCTION_TIMEOUT function",
        "507 DISK_FULL worker",
        "508 CALL_LOOP gateway",
      ]
    `)
  })

  test('agrees with the statuses the worker writes into records', () => {
    for (const [code, { status }] of Object.entries(FAILURES))
      expect([code, ERRORS[code as keyof typeof FAILURES].status]).toEqual([code, status])
  })

  test('has titles that are sentences without a full stop', () => {
    for (const { title } of Object.values(ERRORS)) expect(title).toMatch(/^[A-Z][^.]+$/)
  })
})

describe('what is thrown becomes a problem', () => {
  test.each([
    [new GatewayError('BAD_REQUEST', 'no'), 400, 'BAD_REQUEST'],
    [new RegistryError('FUNCTION_NOT_FOUND', 'unknown function helo; did you mean hello?'), 404, 'FUNCTION_NOT_FOUND'],
    [new QueueError('IDEMPOTENCY_MISMATCH', 'other body'), 422, 'IDEMPOTENCY_MISMATCH'],
    [new WorkerError('FUNCTION_INIT_FAILED', 'x'), 422, 'FUNCTION_INIT_FAILED'],
    [new WorkerError('FUNCTION_INIT_TIMEOUT', 'x'), 422, 'FUNCTION_INIT_TIMEOUT'],
    [new WorkerError('DISK_FULL', 'x'), 507, 'DISK_FULL'],
    [new RuntimeError('LIMIT_UNSUPPORTED', 'blkioWeight: no bfq'), 400, 'LIMIT_UNSUPPORTED'],
    [new LimitError('memory', 'too small'), 400, 'LIMIT_INVALID'],
    [new UnitError('expected a size'), 400, 'BAD_REQUEST'],
    [new TypeError('secret'), 500, 'INTERNAL'],
    [null, 500, 'INTERNAL'],
    [Object.assign(new Error('x'), { code: 'constructor' }), 500, 'INTERNAL'],
  ])('%s', (error, status, code) => {
    const { problem } = refusalOfError(error, 'the-id')
    expect(problem).toMatchObject({ status, code, invocationId: 'the-id' })
    expect(problem.detail).not.toContain('secret')
  })

  test('with computed Retry-After where there is one, else the table’s', () => {
    const headers = (error: unknown) => refusalOfError(error).headers
    expect(headers(new QueueError('QUEUE_UNAVAILABLE', 'x', { retryAfterS: 2.1 }))).toEqual(['Retry-After', '3'])
    expect(headers(new QueueError('QUEUE_UNAVAILABLE', 'x'))).toEqual(['Retry-After', '1'])
    expect(headers(new GatewayError('METHOD_NOT_ALLOWED', 'x', { headers: ['Allow', 'GET'] }))).toEqual([
      'Allow',
      'GET',
    ])
  })

  test('of a failed invocation keeps component, stack and figures', () => {
    const data = { limitBytes: 64, peakBytes: 65 }
    const failure = { code: 'FUNCTION_OUT_OF_MEMORY', component: 'function', message: 'm', data, stack: 's' } as const
    const told = refusalOfFailure(failure, 'i', true).problem
    expect(told).toMatchObject({ status: 502, detail: 'm', data, stack: 's', invocationId: 'i' })
    expect(refusalOf('NOT_FOUND', 'x').problem).not.toHaveProperty('invocationId')
  })

  test('of a failed invocation tells a stranger code, status and id of a fault behind the gateway, and all of its own', () => {
    const more = { message: 'secret words', data: { limitBytes: 64 }, stack: 'secret stack' } as const
    for (const [code, component] of [
      ['FUNCTION_THREW', 'function'],
      ['FUNCTION_INIT_FAILED', 'function'],
      ['FUNCTION_OUT_OF_MEMORY', 'function'],
      ['SANDBOX_CREATE_FAILED', 'sandbox'],
      ['IMAGE_CORRUPT', 'worker'],
    ] as const) {
      const { problem } = refusalOfFailure({ code, component, ...more }, 'i', false)
      expect(problem).toMatchObject({ code, status: statusOf(code), invocationId: 'i' })
      expect(Object.keys(problem).sort()).toEqual([
        'code',
        'component',
        'detail',
        'invocationId',
        'status',
        'title',
        'type',
      ])
      expect(JSON.stringify(problem)).not.toContain('secret')
    }
    const busy = { code: 'FUNCTION_BUSY', component: 'queue', message: 'm', retryAfterS: 3 } as const
    expect(refusalOfFailure(busy, 'i', false)).toMatchObject({
      problem: { detail: 'm' },
      headers: ['Retry-After', '3'],
    })
    const limit = { code: 'LIMIT_INVALID', component: 'worker', message: 'memory: m' } as const
    expect(refusalOfFailure(limit, 'i', false).problem.detail).toBe('memory: m')
  })
})
