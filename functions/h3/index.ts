// An H3 app as its guide writes it, nothing changed for Thaw: `export default app`.
//   bin/fn deploy functions/h3
//   curl http://127.0.0.1:8080/fn/h3/user/42
import { defineHandler, getQuery, H3, HTTPError, readBody } from 'h3'

const app = new H3()

app
  .get('/', () => '⚡️ Tadaa!')
  .get('/user/:id', (event) => ({ id: event.context.params?.id }))
  .get('/search', (event) => ({ q: getQuery(event).q }))
  .post(
    '/echo',
    defineHandler(async (event) => {
      const body = await readBody(event)
      if (body === undefined) throw new HTTPError({ status: 400, message: 'expected a body' })
      event.res.status = 201
      event.res.headers.set('x-h3', 'yes')
      return body
    }),
  )
  .get('/teapot', () => {
    throw new HTTPError({ status: 418, message: 'short and stout' })
  })

export default app
