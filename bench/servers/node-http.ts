// The yardstick: a bare node:http server that does what functions/hello.ts and functions/echo.ts do. Prints its port and
// ends when its stdin does.
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  if (request.method === 'POST') {
    response.writeHead(200, { 'content-type': request.headers['content-type'] ?? 'application/octet-stream' })
    request.pipe(response)
    return
  }
  const name = new URL(request.url ?? '/', 'http://localhost').searchParams.get('name') ?? 'world'
  const body = `Hello, ${name}!\n`
  response.writeHead(200, { 'content-type': 'text/plain;charset=UTF-8', 'content-length': Buffer.byteLength(body) })
  response.end(body)
})

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address !== null) console.log(address.port)
})
process.stdin.resume().once('end', () => process.exit(0))
