// AWS Lambda's handler form: an event in; a result, a callback or a stream out. `lambda-event.ts` and `lambda-answer.ts` are the
// two ends, `lambda-stream.ts` response streaming.
import type { LambdaCallback, LambdaContext, LambdaHandler } from '../handler.ts'
import type { InitConfig } from '../protocol/messages.ts'
import { ReadyAnswer } from './answer.ts'
import { now, sourceOf, types } from './builtins.ts'
import type { Call } from './call.ts'
import { countActive, watchLoop } from './empty-loop.ts'
import type { Handler } from './find-handler.ts'
import { lambdaHead, toLambdaAnswer } from './lambda-answer.ts'
import { createEvent } from './lambda-event.ts'
import { isStreaming, LambdaResponseStream } from './lambda-stream.ts'
import { isResponse } from './web.ts'

type StreamingHandler = (event: unknown, stream: LambdaResponseStream, context: LambdaContext) => unknown

/** Makes a handler of the web kind from a Lambda function. */
export function lambdaForm(handler: LambdaHandler, config: InitConfig): Handler {
  const streams = isStreaming(handler)
  // Of the others it is known that they give a promise, or call back.
  const mayLeaveNothing = !types.isAsyncFunction(handler) && !wantsCallback(handler)
  return async (call) => {
    const body = call.inflow === null ? null : await call.inflow.collect()
    const event = createEvent(call, body)
    if (streams) return callStreaming(handler as unknown as StreamingHandler, event, call, config)
    const result = await callHandler(handler, event, call, config, mayLeaveNothing)
    return isResponse(result) ? result : toLambdaAnswer(result)
  }
}

/** The variables the Lambda runtime sets and handlers read. */
export function lambdaVariables(config: InitConfig): Record<string, string> {
  return {
    AWS_LAMBDA_FUNCTION_NAME: config.functionName,
    AWS_LAMBDA_FUNCTION_VERSION: config.version,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: memoryMb(config),
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_REGION: 'local',
    AWS_DEFAULT_REGION: 'local',
    LAMBDA_TASK_ROOT: '/code',
    _HANDLER: `${config.fileName.replace(/\.\w+$/, '')}.handler`,
  }
}

/** A promise or a value is the result. One that returns nothing calls back, by its third argument or by the context's old
 *  methods; when nothing is under way any more that could, the result is null, as in Lambda. */
function callHandler(
  handler: LambdaHandler,
  event: unknown,
  call: Call,
  config: InitConfig,
  mayLeaveNothing: boolean,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let endWatch: (() => void) | null = null
    const callback: LambdaCallback = (error, value) => {
      endWatch?.()
      if (error === undefined || error === null) resolve(value)
      else reject(error)
    }
    const context = createLambdaContext(call, config, callback)
    const before = mayLeaveNothing ? countActive() : null
    const returned = handler(event as never, context, callback)
    if (returned !== undefined) resolve(returned)
    else if (before !== null) endWatch = watchLoop(before, () => resolve(null))
  })
}

/** Whether it says itself that it calls back. */
function wantsCallback(handler: LambdaHandler): boolean {
  return handler.length > 2 || /\barguments\b/.test(sourceOf(handler))
}

/** The answer begins with the first write, or the end; it ends when the handler ends the stream, or leaves nothing that could. */
function callStreaming(handler: StreamingHandler, event: unknown, call: Call, config: InitConfig): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const stream = new LambdaResponseStream(() => resolve(streamAnswer(stream)))
    const fail = (error: unknown) => {
      reject(error)
      stream.destroy(error instanceof Error ? error : new Error(String(error)))
    }
    const context = createLambdaContext(call, config, (error) => {
      if (error === undefined || error === null) stream.end()
      else fail(error)
    })
    const before = countActive()
    const run = async () => handler(event, stream, context)
    run().then(() => {
      if (!stream.writableEnded) watchLoop(before, () => stream.end())
    }, fail)
  })
}

function streamAnswer(stream: LambdaResponseStream): ReadyAnswer {
  const head = lambdaHead(stream.head ?? { statusCode: 200 })
  if (typeof head === 'string') return new ReadyAnswer(head)
  if (!head.lines.hasType) head.lines.add('content-type', stream.contentType)
  const { status, lines } = head
  return new ReadyAnswer({ status, reason: '', headers: lines.text, length: lines.length, body: stream.source() })
}

function createLambdaContext(call: Call, config: InitConfig, callback: LambdaCallback): LambdaContext {
  return {
    awsRequestId: call.head.id,
    functionName: config.functionName,
    functionVersion: config.version,
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${config.functionName}`,
    memoryLimitInMB: memoryMb(config),
    logGroupName: `/aws/lambda/${config.functionName}`,
    logStreamName: call.head.id,
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Math.max(0, call.deadline - now()),
    done: (error, result) => callback(error, result),
    succeed: (result) => callback(null, result),
    fail: (error) => callback(error ?? 'failed without an error'),
  }
}

function memoryMb(config: InitConfig): string {
  return String(Math.round(config.memoryBytes / 1024 ** 2))
}
