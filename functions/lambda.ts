// AWS Lambda's form: a named `handler` with event and context. Over HTTP the event is API Gateway's (payload format 2.0),
// and the answer may be a plain value or {statusCode, headers, body}.
//   bin/fn deploy functions/lambda.ts
//   curl -d '{"items":[{"price":3,"count":2},{"price":4.5,"count":1}]}' http://127.0.0.1:8080/fn/lambda/total
import type { LambdaContext, LambdaEvent, LambdaResponse } from 'thaw'

export const handler = async (event: LambdaEvent, context: LambdaContext): Promise<LambdaResponse> => {
  const { method } = event.requestContext.http
  if (method !== 'POST') return answer(200, { method, path: event.rawPath, query: event.queryStringParameters ?? {} })
  const total = totalOf(bodyOf(event))
  if (total === null) return answer(400, { error: 'expected {"items": [{"price": number, "count": number}]}' })
  return answer(200, {
    total,
    requestId: context.awsRequestId,
    functionName: context.functionName,
    hasTimeLeft: context.getRemainingTimeInMillis() > 0,
  })
}

function bodyOf(event: LambdaEvent): string {
  return Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8').toString('utf8')
}

function totalOf(body: string): number | null {
  try {
    const { items } = JSON.parse(body) as { items: readonly { price: number; count: number }[] }
    const total = items.reduce((sum, item) => sum + item.price * item.count, 0)
    return Number.isFinite(total) ? total : null
  } catch {
    return null
  }
}

function answer(statusCode: number, value: unknown): LambdaResponse {
  return { statusCode, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}
