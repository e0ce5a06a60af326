// An itty-router app as its documentation writes it, nothing changed for Thaw: `export default router`.
//   bin/fn deploy functions/itty
//   curl http://127.0.0.1:8080/fn/itty/hello/Ada
import { AutoRouter, error, type IRequest, withContent } from 'itty-router'

const router = AutoRouter()

router
  .get('/hello/:name', ({ name }: IRequest) => `Hello, ${name}!`)
  .get('/json', () => [1, 2, 3])
  .get('/promises', () => Promise.resolve('foo'))
  .post('/sum', withContent, ({ content }: IRequest) => {
    if (!Array.isArray(content)) return error(400, 'expected a list of numbers')
    return { sum: content.reduce((sum: number, value) => sum + Number(value), 0) }
  })
  .get('/teapot', () => error(418, 'short and stout'))

export default router
