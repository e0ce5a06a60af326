// An Express 5 app: only the last line is Thaw's. Instead of `app.listen(port)` the app is wrapped and exported.
//   bin/fn deploy functions/express
//   curl -H 'content-type: application/json' -d '{"name":"Ada"}' http://127.0.0.1:8080/fn/express/greetings
import express, { type NextFunction, type Request, type Response } from 'express'
import { fromNode } from 'thaw'

const app = express()
app.disable('x-powered-by')
app.use(express.json({ limit: '1mb' }))

app.get('/', (_request: Request, response: Response) => {
  response.type('text/plain').send('Express on Thaw\n')
})
app.get('/users/:id', (request: Request, response: Response) => {
  response.json({ id: request.params.id, fields: request.query.fields ?? null })
})
app.post('/greetings', (request: Request, response: Response) => {
  const name: unknown = (request.body as { name?: unknown } | undefined)?.name
  if (typeof name !== 'string') {
    response.status(400).json({ error: 'name: expected a string' })
    return
  }
  response
    .status(201)
    .cookie('seen', '1', { httpOnly: true })
    .cookie('name', name)
    .json({ greeting: `Hello, ${name}!` })
})
app.get('/lines', (_request: Request, response: Response) => {
  response.type('text/plain')
  for (const line of ['one', 'two', 'three']) response.write(`${line}\n`)
  response.end()
})
app.get('/boom', async () => {
  throw new Error('boom')
})

app.use((request: Request, response: Response) => {
  response.status(404).json({ error: `no route ${request.method} ${request.path}` })
})
// Express knows an error handler by its four parameters.
app.use((error: Error & { status?: number }, _request: Request, response: Response, _next: NextFunction) => {
  const status = error.status ?? 500
  if (status >= 500) console.error(error)
  response.status(status).json({ error: status >= 500 ? 'something broke' : error.message })
})

export default fromNode(app)
