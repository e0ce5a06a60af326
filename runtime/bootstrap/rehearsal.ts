// A call played before there is a function: V8 has then compiled what the first real load and call need (about 1 ms each).
// Leaves nothing behind: its own outbox goes nowhere, its code is forgotten.
import { FLAG, FRAME_HEADER_BYTES } from '../protocol/frames.ts'
import { bodyOffset, encodeInvoke, parseInvokeHead } from '../protocol/heads.ts'
import type { InitConfig } from '../protocol/messages.ts'
import { Call, type CallHost } from './call.ts'
import { Inflow } from './inflow.ts'
import { type Loaded, loadHandler } from './load.ts'
import { Outbox } from './outbox.ts'

const SOURCE = `exports.default = { async fetch(request) {
  return new Response(request.url + await request.text(), { headers: { 'content-type': 'text/plain' } })
} }`
const CONFIG: InitConfig = {
  fileName: 'rehearsal.js',
  form: 'web',
  env: {},
  functionName: '',
  version: '',
  memoryBytes: 0,
}
const HEAD = { id: '', timeoutMs: 1000, attempt: 1, method: 'POST', target: '/', headers: ['Host', 'localhost'] }

/** Loads and calls a tiny handler. Never throws; what it starts ends within this turn. */
export function rehearse(): void {
  const outbox = new Outbox((_buffer, _offset, length) => length)
  const { handler } = loadHandler(Buffer.from(SOURCE), CONFIG) as Loaded
  const host: CallHost = {
    outbox,
    handler,
    enter: (_call, fire) => fire(),
    finished: () => undefined,
    leaves: () => false,
    leave: () => undefined,
  }
  const payload = encodeInvoke(1, FLAG.END, HEAD, Buffer.of(32)).subarray(FRAME_HEADER_BYTES)
  const bodyAt = bodyOffset(payload)
  const inflow = new Inflow(1, outbox, payload.subarray(bodyAt), true)
  new Call(1, parseInvokeHead(payload, bodyAt), inflow, host).run()
}
