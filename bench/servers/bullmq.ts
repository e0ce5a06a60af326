// The yardstick for acceptance: BullMQ's `add` behind a bare node:http server, 202 once it is acknowledged. Prints its port and
// ends when its stdin does. `node bench/servers/bullmq.ts SOCKET PAYLOAD_BYTES`, on the Redis at SOCKET.
import { createServer } from 'node:http'
import { closeBareQueue, openBareQueue, payloadOf } from '../bare-queue.ts'

const queue = await openBareQueue(process.argv[2] ?? '', 'bare-http')
const payload = payloadOf(Number(process.argv[3] ?? 0))
const server = createServer((_request, response) => {
  queue.add('call', payload).then(
    (job) => {
      const body = `{"id":"${job.id}","state":"queued"}`
      response.writeHead(202, { 'content-type': 'application/json', 'content-length': body.length })
      response.end(body)
    },
    () => response.writeHead(503).end(),
  )
})

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address !== null) console.log(address.port)
})
process.stdin.resume().once('end', () => void closeBareQueue(queue).finally(() => process.exit(0)))
