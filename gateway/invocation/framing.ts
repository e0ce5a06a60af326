// What Node's parser lets through and we do not: requests whose end another reader could see elsewhere. RFC 9112, 6.1; RFC 9110, 10.1.1.
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../errors.ts'
import type { RequestHeaders } from './request-headers.ts'

/** HTTP/1.0 has no transfer codings: what stands in front may have read the body by another rule, and what comes behind it is not to
 *  be trusted. Throws GatewayError BAD_REQUEST, which closes the connection. */
export function expectFramed(incoming: IncomingMessage, { chunked }: RequestHeaders): void {
  if (!chunked || incoming.httpVersionMinor > 0) return
  throw new GatewayError('BAD_REQUEST', 'HTTP/1.0 has no Transfer-Encoding; send a Content-Length, or HTTP/1.1', {
    headers: ['Connection', 'close'],
  })
}

/** Whether an `Expect` asks for 100 (Continue) and nothing else. */
export function isContinue(expect: string | undefined): boolean {
  return expect === '100-continue' || expect?.trim().toLowerCase() === '100-continue'
}
