import { WebSocket, WebSocketServer } from 'ws'

// Has two native parts that are optional and not installed; client and server inside one sandbox.
export default () =>
  new Promise<Response>((resolve) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => {
      const { port } = server.address() as { port: number }
      const client = new WebSocket(`ws://127.0.0.1:${port}`)
      client.on('open', () => client.send('echo'))
      client.on('message', (text) => {
        client.close()
        server.close()
        resolve(new Response(String(text)))
      })
    })
    server.on('connection', (socket) => socket.on('message', (text) => socket.send(text)))
  })
