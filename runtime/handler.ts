// What authors of functions import from 'thaw': the types of the handler forms, and fromNode.
// Types only, besides fromNode: nothing here runs on the platform's side.
export { fromNode, type NodeApp, type NodeListener } from './from-node.ts'

/** Configuration and secrets of the function; the same values are in `process.env`. */
export type Env = Readonly<Record<string, string>>

/** One invocation, as its handler sees it. */
export interface Context {
  /** The request target exactly as the client sent it, e.g. `/a/../b?q=%2f`; `request.url` is normalised. */
  readonly rawUrl: string
  /** UUID of the invocation; the same on every attempt. */
  readonly invocationId: string
  /** 1 for the first attempt. */
  readonly attempt: number
  readonly functionName: string
  readonly version: string
  /** When the time-out ends this call, ms since the epoch. */
  readonly deadline: number
  /** Aborts when the caller leaves, on cancel and on time-out; its reason is an AbortError that says which. */
  readonly signal: AbortSignal
  /** Keeps the sandbox running after the response until `promise` settles, within the time-out. */
  waitUntil(promise: Promise<unknown>): void
}

/** A request handler as an object, the form of Workers, Deno, Bun and of Hono, itty-router and h3 apps. Also what instances of
 *  a class are that is the default export: `new Class(ctx, env)` for each call. */
export interface FetchHandler {
  fetch(request: Request, env: Env, ctx: Context): Response | Promise<Response>
}

/** The short form: one function as the default export. */
export type FunctionHandler = (request: Request, ctx: Context) => Response | Promise<Response>

/** AWS payload format 2.0, as a function URL sends it. */
export interface LambdaEvent {
  readonly version: '2.0'
  readonly routeKey: '$default'
  /** As sent, not decoded. */
  readonly rawPath: string
  readonly rawQueryString: string
  readonly cookies?: readonly string[]
  /** Names in lower case; repeated headers joined by commas. */
  readonly headers: Readonly<Record<string, string>>
  readonly queryStringParameters?: Readonly<Record<string, string>>
  readonly requestContext: {
    readonly accountId: string
    readonly apiId: string
    readonly domainName: string
    readonly domainPrefix: string
    readonly http: {
      readonly method: string
      readonly path: string
      readonly protocol: string
      readonly sourceIp: string
      readonly userAgent: string
    }
    readonly requestId: string
    readonly routeKey: '$default'
    readonly stage: '$default'
    readonly time: string
    readonly timeEpoch: number
  }
  readonly body?: string
  readonly isBase64Encoded: boolean
}

/** The second argument of a Lambda handler. */
export interface LambdaContext {
  readonly awsRequestId: string
  readonly functionName: string
  readonly functionVersion: string
  readonly invokedFunctionArn: string
  readonly memoryLimitInMB: string
  readonly logGroupName: string
  readonly logStreamName: string
  callbackWaitsForEmptyEventLoop: boolean
  getRemainingTimeInMillis(): number
  /** Older ways to end the call. */
  done(error?: Error | string | null, result?: unknown): void
  succeed(result?: unknown): void
  fail(error?: Error | string | null): void
}

/** The third argument of a Lambda handler. */
export type LambdaCallback<Result = unknown> = (error?: Error | string | null, result?: Result) => void

/** A response in payload format 2.0; anything without a `statusCode` is sent as JSON with status 200. */
export interface LambdaResponse {
  readonly statusCode: number
  /** A header whose value is undefined or null is not sent. */
  readonly headers?: Readonly<Record<string, string | number | boolean | undefined | null>>
  readonly multiValueHeaders?: Readonly<Record<string, readonly (string | number | boolean)[]>>
  readonly cookies?: readonly string[]
  readonly body?: string
  readonly isBase64Encoded?: boolean
}

/** AWS Lambda's form: `export const handler`. The result is returned, promised, or given to the callback. */
export type LambdaHandler<Event = LambdaEvent, Result = unknown> = (
  event: Event,
  context: LambdaContext,
  callback: LambdaCallback<Result>,
) => Result | Promise<Result>
